#include "snapshot/capture/table_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstring>

#include "attach/base/error.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kOne = 256;               // a block, in the counts
constexpr std::uint64_t kMostThreads = 1u << 22;  // of Linux
constexpr std::uint64_t kMostPeriod = std::uint64_t{1} << 40;

[[noreturn]] void refuse(const std::string& why) {
  throw Error(ExitCode::kBadFile, "the tracking tables cannot be read: " + why,
              "memsnap detach removes what tracks the process; then track it again");
}

struct SectionRule {
  const AgentSection* section;
  std::uint64_t item;
  std::uint64_t most;  // items
};

void check_sections(const AgentHeader& header) {
  const AgentHeader::Sections& sections = header.sections;
  constexpr std::uint64_t kMost = std::uint64_t{1} << 40;
  const std::array<SectionRule, 8> rules{{{&sections.threads, sizeof(AgentThread), kMostThreads},
                                          {&sections.nodes, sizeof(AgentNode), kMostSites},
                                          {&sections.counts, sizeof(AgentCounts), kMostSites},
                                          {&sections.codes, sizeof(AgentCode), kNodeSpecial},
                                          {&sections.texts, 1, kMost},
                                          {&sections.roots, sizeof(std::uint32_t), kRootCount},
                                          {&sections.leaves, sizeof(std::uint64_t) * kLeafWords, kRootCount},
                                          {&sections.patches, sizeof(AgentPatch), kMost}}};
  for (const SectionRule& rule : rules) {
    const auto& [offset, capacity] = *rule.section;
    const bool fits = offset <= header.size && capacity <= rule.most && capacity <= (header.size - offset) / rule.item;
    if (!fits || offset % alignof(std::uint64_t) != 0) refuse("a section lies outside of them");
  }
}

std::uint64_t section_end(const AgentSection& section, std::uint64_t item) {
  return section.offset + section.capacity * item;
}

template <typename T>
T load_as(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

}  // namespace

std::uint64_t sampled_count(std::uint64_t size, std::uint64_t period) {
  if (period <= 1) return kOne;
  // A block of no bytes is never sampled; one that says so counts as itself.
  if (size == 0) return kOne;
  const double chance = -std::expm1(-static_cast<double>(size) / static_cast<double>(period));
  return static_cast<std::uint64_t>(std::llround(static_cast<double>(kOne) / chance));
}

TableReader::TableReader(FileDescriptor file) : memory_(std::move(file)) {
  if (!memory_.read(0, header_) || header_.magic != kAgentMagic) refuse("they are not there");
  if (header_.abi != kAgentAbiVersion) {
    refuse(fmt::format("they are of version {}, and this memsnap reads version {}", header_.abi, kAgentAbiVersion));
  }
  if (header_.size > memory_.size()) refuse("they are cut short");
  if (header_.period > kMostPeriod) refuse("the sampling period is none");
  check_sections(header_);
}

std::uint32_t TableReader::count(std::uint64_t offset_in_header, const AgentSection& section) const {
  std::uint32_t highest = 0;
  if (!memory_.read(offset_in_header, highest)) return 0;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(highest, section.capacity));
}

template <typename T>
std::vector<T> TableReader::items(const AgentSection& section, std::uint64_t first, std::uint64_t end) const {
  std::vector<T> all;
  if (first >= end) return all;
  all.resize(end - first);
  const std::span<std::byte> bytes = std::as_writable_bytes(std::span(all));
  const std::uint64_t begin = section.offset + first * sizeof(T);
  memory_.for_each_data(begin, begin + bytes.size(), [&](std::uint64_t offset, std::span<const std::byte> piece) {
    std::memcpy(bytes.data() + (offset - begin), piece.data(), piece.size());
  });
  return all;
}

TableReading TableReader::read() const {
  TableReading reading;
  read_live(reading);
  read_totals(reading);
  const AgentSection& threads = header_.sections.threads;
  const std::uint32_t highest = count(offsetof(AgentHeader, thread_count), threads);
  // Record 0 is shared and not counted: one more than the highest number given out.
  reading.threads = items<AgentThread>(threads, 0, std::min<std::uint64_t>(highest + 1ull, threads.capacity));
  reading.lost = lost();
  return reading;
}

AgentLost TableReader::lost() const {
  AgentLost lost{};
  memory_.read(offsetof(AgentHeader, lost), lost);
  return lost;
}

// Leaf after leaf, without their addresses: a word that is not zero is a block. Leaf 0 is none.
void TableReader::read_live(TableReading& reading) const {
  constexpr std::uint64_t kLeafBytes = sizeof(std::uint64_t) * kLeafWords;
  const AgentSection& leaves = header_.sections.leaves;
  if (leaves.capacity == 0) return;
  const auto visit = [&](std::uint64_t, std::span<const std::byte> bytes) {
    // Sites appear while this goes on.
    const std::size_t known = count(offsetof(AgentHeader, node_count), header_.sections.nodes) + std::size_t{1};
    if (reading.live.size() < known) reading.live.resize(known);
    add_words(bytes, reading);
  };
  memory_.for_each_data(leaves.offset + kLeafBytes, section_end(leaves, kLeafBytes), visit);
  for (const LiveBlocks& site : reading.live) {
    reading.all.count += site.count;
    reading.all.bytes += site.bytes;
  }
  reading.all.count += reading.unknown.count;
  reading.all.bytes += reading.unknown.bytes;
}

void TableReader::add_words(std::span<const std::byte> bytes, TableReading& reading) const {
  const std::uint64_t every = period();
  std::uint64_t blocks = 0;
  LiveBlocks* const live = reading.live.data();
  const std::size_t sites = reading.live.size();
  for (std::size_t at = 0; at + sizeof(std::uint64_t) <= bytes.size(); at += sizeof(std::uint64_t)) {
    const auto word = load_as<std::uint64_t>(&bytes[at]);
    if (word == 0) continue;
    ++blocks;
    const std::uint64_t size = slot_size(word);
    LiveBlocks stands_for{kOne, size};
    if (every > 1) {
      stands_for.count = sampled_count(size, every);
      const double scaled = static_cast<double>(size) * static_cast<double>(stands_for.count) / double{kOne};
      stands_for.bytes = static_cast<std::uint64_t>(scaled);
      reading.variance += scaled * scaled * (1 - double{kOne} / static_cast<double>(stands_for.count));
    }
    const std::uint32_t site = slot_site(word);
    LiveBlocks& sum = site < sites ? live[site] : reading.unknown;
    reading.unknown_site += site < sites ? 0u : 1u;
    sum.count += stands_for.count;
    sum.bytes += stands_for.bytes;
  }
  reading.blocks += blocks;
}

void TableReader::read_totals(TableReading& reading) const {
  const AgentSection& counts = header_.sections.counts;
  const std::uint64_t known = count(offsetof(AgentHeader, node_count), header_.sections.nodes) + 1ull;
  reading.totals = items<AgentCounts>(counts, 0, std::min(known, counts.capacity));
}

std::vector<AgentNode> TableReader::nodes() const {
  const AgentSection& nodes = header_.sections.nodes;
  const std::uint64_t known = count(offsetof(AgentHeader, node_count), nodes) + 1ull;
  return items<AgentNode>(nodes, 0, std::min(known, nodes.capacity));
}

std::uint32_t TableReader::code_count() const {
  const AgentSection& codes = header_.sections.codes;
  // Whether the number is a count or the highest index, one more does no harm: what is not ready is left out.
  const std::uint64_t known = count(offsetof(AgentHeader, code_count), codes) + 1ull;
  return static_cast<std::uint32_t>(std::min(known, codes.capacity));
}

std::vector<AgentCode> TableReader::codes(std::uint32_t first) const {
  return items<AgentCode>(header_.sections.codes, first, code_count());
}

std::vector<std::uint8_t> TableReader::text(std::uint64_t offset, std::uint64_t length) const {
  const AgentSection& texts = header_.sections.texts;
  if (length > kAgentTextMost || offset > texts.capacity || length > texts.capacity - offset) return {};
  std::vector<std::uint8_t> bytes(length);
  if (!memory_.read(texts.offset + offset, std::as_writable_bytes(std::span(bytes)))) return {};
  return bytes;
}

std::vector<ShadowRoot> TableReader::roots() const {
  const AgentSection& roots = header_.sections.roots;
  const std::uint64_t most = header_.sections.leaves.capacity;
  std::vector<ShadowRoot> found;
  const std::uint64_t end = section_end(roots, sizeof(std::uint32_t));
  memory_.for_each_data(roots.offset, end, [&](std::uint64_t offset, std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at + sizeof(std::uint32_t) <= bytes.size() && found.size() < most;
         at += sizeof(std::uint32_t)) {
      const auto leaf = load_as<std::uint32_t>(&bytes[at]);
      const std::uint64_t mib = (offset + at - roots.offset) / sizeof(std::uint32_t);
      if (leaf != 0) found.push_back({static_cast<std::uint32_t>(mib), leaf});
    }
  });
  return found;
}

std::vector<std::uint64_t> TableReader::leaf(std::uint32_t number) const {
  const AgentSection& leaves = header_.sections.leaves;
  if (number == 0 || number >= leaves.capacity) return {};
  const std::uint64_t first = std::uint64_t{number} * kLeafWords;
  return items<std::uint64_t>(leaves, first, first + kLeafWords);
}

}  // namespace memsnap
