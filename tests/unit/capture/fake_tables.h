#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "inject/protocol/agent_abi.h"
#include "snapshot/capture/table_reader.h"

namespace memsnap {

struct FakeTableSizes {
  std::uint64_t threads = 64, nodes = 1u << 16, codes = 4096, texts = 1u << 20, leaves = 4096;
};

// An agent's shared memory, written as the agent would.
class FakeTables {
 public:
  using Sizes = FakeTableSizes;

  explicit FakeTables(std::uint32_t python_hex = 0x030b02f0, std::uint64_t period = 1, Sizes sizes = {}) {
    const std::uint64_t leaf_bytes = sizeof(std::uint64_t) * kLeafWords;
    std::uint64_t at = 1u << 16;
    const auto section = [&](std::uint64_t items, std::uint64_t item) {
      const AgentSection made{at, items};
      at += (items * item + 4095) / 4096 * 4096;
      return made;
    };
    AgentHeader made{};
    made.magic = kAgentMagic;
    made.abi = kAgentAbiVersion;
    made.pid = 4242;
    made.python_hex = python_hex;
    made.period = period;
    made.began_ns = kBegan;
    made.sections.threads = section(sizes.threads, sizeof(AgentThread));
    made.sections.nodes = section(sizes.nodes, sizeof(AgentNode));
    made.sections.counts = section(sizes.nodes, sizeof(AgentCounts));
    made.sections.codes = section(sizes.codes, sizeof(AgentCode));
    made.sections.texts = section(sizes.texts, 1);
    made.sections.roots = section(kRootCount, sizeof(std::uint32_t));
    made.sections.leaves = section(sizes.leaves, leaf_bytes);
    made.sections.patches = section(16, sizeof(AgentPatch));
    made.size = at;
    file_ = FileDescriptor(::memfd_create("tables", MFD_CLOEXEC));
    if (::ftruncate(file_.get(), static_cast<off_t>(at)) != 0) throw std::bad_alloc();
    size_ = at;
    base_ = static_cast<std::uint8_t*>(
        ::mmap(nullptr, at, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, file_.get(), 0));
    if (base_ == MAP_FAILED) throw std::bad_alloc();
    std::memcpy(base_, &made, sizeof(made));
  }
  ~FakeTables() { ::munmap(base_, size_); }
  FakeTables(const FakeTables&) = delete;
  FakeTables& operator=(const FakeTables&) = delete;

  static constexpr std::uint64_t kBegan = 1'795'000'000'000'000'000;

  FileDescriptor descriptor() const { return FileDescriptor(::dup(file_.get())); }
  TableReader reader() const { return TableReader(descriptor()); }
  int fd() const { return file_.get(); }
  std::uint8_t* base() const { return base_; }
  std::uint64_t size() const { return size_; }
  AgentHeader& header() const { return *reinterpret_cast<AgentHeader*>(base_); }

  AgentThread& thread_record(std::uint32_t record) const {
    return item<AgentThread>(header().sections.threads, record);
  }
  AgentNode& node_at(std::uint32_t node) const { return item<AgentNode>(header().sections.nodes, node); }
  AgentCounts& counts(std::uint32_t site) const { return item<AgentCounts>(header().sections.counts, site); }
  AgentCode& code_at(std::uint32_t code) const { return item<AgentCode>(header().sections.codes, code); }

  std::uint32_t node(std::uint32_t parent, std::uint32_t code, std::uint64_t instruction) {
    const std::uint32_t made = ++header().node_count;
    node_at(made) = {parent, code, instruction};
    return made;
  }
  // Gives its node.
  std::uint32_t thread(std::uint32_t tid) {
    const std::uint32_t record = ++header().thread_count;
    const std::uint32_t made = node(0, kNodeThread, record);
    thread_record(record).tid = tid;
    thread_record(record).state = 1;
    thread_record(record).node = made;
    return made;
  }
  std::uint32_t site(std::uint32_t parent, Allocator allocator = Allocator::kMalloc) {
    return node(parent, kNodeAllocator, static_cast<std::uint64_t>(allocator));
  }

  std::uint32_t code(std::string_view file, std::string_view name, std::int32_t first_line,
                     std::string_view line_table = "", std::uint64_t start = 0x1000) {
    return code_in_units(bytes_of(file), 1, bytes_of(name), 1, first_line, bytes_of(line_table), start);
  }
  std::uint32_t code_in_units(const std::vector<std::uint8_t>& file, std::uint8_t file_unit,
                              const std::vector<std::uint8_t>& name, std::uint8_t name_unit, std::int32_t first_line,
                              const std::vector<std::uint8_t>& table, std::uint64_t start) {
    const std::uint32_t made = header().code_count++;
    AgentCode& code = code_at(made);
    code.address = 0x7f0000000000 + 256 * made;
    code.code_start = start;
    code.text = header().text_bytes;
    code.file_length = static_cast<std::uint32_t>(file.size()) / file_unit;
    code.file_unit = file_unit;
    code.name_length = static_cast<std::uint32_t>(name.size()) / name_unit;
    code.name_unit = name_unit;
    code.table_length = static_cast<std::uint32_t>(table.size());
    code.table_unit = 1;
    code.first_line = first_line;
    for (const auto* piece : {&file, &name, &table}) {
      std::copy(piece->begin(), piece->end(), base_ + header().sections.texts.offset + header().text_bytes);
      header().text_bytes += piece->size();
    }
    code.ready = 1;
    return made;
  }

  std::uint64_t& slot(std::uint64_t address) {
    auto* const roots = reinterpret_cast<std::uint32_t*>(base_ + header().sections.roots.offset);
    std::uint32_t& leaf = roots[address >> kLeafShift];
    if (leaf == 0) leaf = ++header().leaf_count;
    auto* const words = reinterpret_cast<std::uint64_t*>(base_ + header().sections.leaves.offset);
    return words[std::uint64_t{leaf} * kLeafWords + (address >> 4) % kLeafWords];
  }
  // A block that is recorded: it lives at `address`.
  void allocate(std::uint32_t site, std::uint64_t address, std::uint64_t size) {
    slot(address) = slot_word(site, size);
    count(site, size);
  }
  void free(std::uint64_t address) { slot(address) = 0; }
  void count(std::uint32_t site, std::uint64_t size, std::uint64_t blocks = 1) {
    AgentCounts& counted = counts(site);
    const std::uint64_t one = sampled_count(size, header().period);
    counted.count += one * blocks;
    counted.bytes += size * one / 256 * blocks;
    counted.samples += blocks;
  }

  static std::vector<std::uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

 private:
  template <typename T>
  T& item(const AgentSection& section, std::uint64_t index) const {
    return reinterpret_cast<T*>(base_ + section.offset)[index];
  }

  FileDescriptor file_;
  std::uint8_t* base_ = nullptr;
  std::uint64_t size_ = 0;
};

}  // namespace memsnap
