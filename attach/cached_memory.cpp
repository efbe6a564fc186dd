#include "attach/cached_memory.h"

#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <unordered_map>
#include <utility>
#include <vector>

#include "attach/preflight.h"

namespace memsnap {
namespace {

constexpr std::size_t kChunk = 64u << 10;
constexpr std::size_t kPage = 4096;
constexpr std::size_t kRecent = 64;  // a direct-mapped table in front of the hash

}  // namespace

bool LiveMemory::copy(std::uint64_t address, std::span<std::byte> out) const {
  const iovec local{out.data(), out.size()};
  const iovec remote{reinterpret_cast<void*>(address), out.size()};
  return ::process_vm_readv(pid_, &local, 1, &remote, 1, 0) == static_cast<ssize_t>(out.size());
}

void require_readable(pid_t pid, const MemoryMap& map) {
  for (const Mapping& mapping : map.mappings()) {
    std::byte byte{};
    if (!mapping.readable || LiveMemory(pid).copy(mapping.begin, {&byte, 1})) continue;
    if (errno == EPERM || errno == EACCES) throw permission_error(pid, errno);
  }
}

struct CachedMemory::State {
  struct Chunk {
    std::uint64_t number = ~0ull;
    std::vector<std::byte> bytes;
    std::uint32_t readable = 0;  // one bit a page
    bool used = false;           // since the clock hand came by
  };

  const ProcessMemory& source;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;  // readable, merged, ascending
  std::size_t max_chunks;
  std::vector<Chunk> chunks;
  std::unordered_map<std::uint64_t, std::uint32_t> index;
  std::array<std::pair<std::uint64_t, std::uint32_t>, kRecent> recent{};
  std::size_t hand = 0;

  State(const ProcessMemory& from, const MemoryMap& map, std::size_t capacity)
      : source(from), max_chunks(std::max<std::size_t>(capacity / kChunk, 16)) {
    for (const Mapping& mapping : map.mappings()) {
      if (!mapping.readable) continue;
      if (!ranges.empty() && ranges.back().second == mapping.begin) {
        ranges.back().second = mapping.end;
      } else {
        ranges.emplace_back(mapping.begin, mapping.end);
      }
    }
    recent.fill({~0ull, 0});
  }

  bool mapped(std::uint64_t address) const {
    const auto after = std::upper_bound(ranges.begin(), ranges.end(), std::pair{address, ~std::uint64_t{0}});
    return after != ranges.begin() && address < std::prev(after)->second;
  }

  std::uint32_t slot_for_new() {
    if (chunks.size() < max_chunks) {
      chunks.emplace_back();
      return static_cast<std::uint32_t>(chunks.size() - 1);
    }
    while (chunks[hand].used) {
      chunks[hand].used = false;
      hand = (hand + 1) % chunks.size();
    }
    const std::size_t victim = hand;
    hand = (hand + 1) % chunks.size();
    index.erase(chunks[victim].number);
    recent[chunks[victim].number % kRecent].first = ~0ull;
    return static_cast<std::uint32_t>(victim);
  }

  void fill(Chunk& chunk, std::uint64_t number) {
    chunk.number = number;
    chunk.bytes.resize(kChunk);
    chunk.readable = 0;
    const std::uint64_t begin = number * kChunk;
    const bool whole = mapped(begin) && mapped(begin + kChunk - 1);
    if (whole && source.copy(begin, chunk.bytes)) {
      chunk.readable = (1u << (kChunk / kPage)) - 1;
      return;
    }
    for (std::size_t page = 0; page < kChunk / kPage; ++page) {
      const std::uint64_t at = begin + page * kPage;
      if (!mapped(at)) continue;
      if (source.copy(at, std::span(chunk.bytes).subspan(page * kPage, kPage))) chunk.readable |= 1u << page;
    }
  }

  Chunk& chunk_of(std::uint64_t number) {
    auto& [cached, slot] = recent[number % kRecent];
    if (cached == number) return chunks[slot];
    std::uint32_t found = 0;
    if (const auto it = index.find(number); it != index.end()) {
      found = it->second;
    } else {
      found = slot_for_new();
      fill(chunks[found], number);
      index[number] = found;
    }
    chunks[found].used = true;
    cached = number;
    slot = found;
    return chunks[found];
  }

  // Bytes at `address` inside its chunk; nullptr when a page of them is not readable.
  const std::byte* find(std::uint64_t address, std::size_t size) {
    const std::size_t offset = address % kChunk;
    const Chunk& chunk = chunk_of(address / kChunk);
    for (std::size_t page = offset / kPage; page <= (offset + size - 1) / kPage; ++page) {
      if ((chunk.readable >> page & 1) == 0) return nullptr;
    }
    return chunk.bytes.data() + offset;
  }
};

CachedMemory::CachedMemory(const ProcessMemory& source, const MemoryMap& map, std::size_t capacity)
    : state_(std::make_unique<State>(source, map, capacity)) {}
CachedMemory::~CachedMemory() = default;

bool CachedMemory::copy(std::uint64_t address, std::span<std::byte> out) const {
  if (address + out.size() < address) return false;
  if (out.size() > kChunk) return state_->source.copy(address, out);
  while (!out.empty()) {
    const std::size_t size = std::min(out.size(), kChunk - address % kChunk);
    const std::byte* const bytes = state_->find(address, size);
    if (bytes == nullptr) return false;
    std::memcpy(out.data(), bytes, size);
    out = out.subspan(size);
    address += size;
  }
  return true;
}

std::span<const std::byte> CachedMemory::view(std::uint64_t address, std::size_t size) const {
  if (size == 0 || size > kChunk - address % kChunk) return {};
  const std::byte* const bytes = state_->find(address, size);
  return bytes == nullptr ? std::span<const std::byte>() : std::span(bytes, size);
}

}  // namespace memsnap
