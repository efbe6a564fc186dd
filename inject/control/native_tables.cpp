#include "inject/control/native_tables.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <utility>

#include "attach/base/error.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMostTables = 512ull << 20;
constexpr std::uint64_t kPiece = 1u << 20;
constexpr const char* kLoop = "_PyEval_EvalFrameDefault";
constexpr std::uint32_t kLoopsHaveFrames = 0x030c0000;  // from this release on

bool read_all(const ProcessMemory& memory, std::uint64_t address, std::vector<std::byte>& out) {
  for (std::uint64_t at = 0; at < out.size(); at += kPiece) {
    const std::size_t size = std::min<std::uint64_t>(kPiece, out.size() - at);
    if (!memory.copy(address + at, std::span(out).subspan(at, size))) return false;
  }
  return true;
}

// setrlimit(2) RLIMIT_STACK of another process: proc_pid_limits(5).
std::uint64_t stack_limit(pid_t pid) {
  constexpr std::string_view kName = "Max stack size";
  constexpr std::uint64_t kUsual = 8u << 20;
  std::ifstream file(fmt::format("/proc/{}/limits", pid));
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(kName)) continue;
    const std::uint64_t limit = std::strtoull(line.c_str() + kName.size(), nullptr, 10);
    return limit == 0 ? kUsual : limit;  // "unlimited"
  }
  return kUsual;
}

bool is_stack(const ThreadStackBlock& block, std::uint64_t control_block, const MemoryMap& map) {
  if (!block.holds(control_block - 8, control_block) || block.guard == 0) return false;
  const Mapping* const guard = map.find(block.begin);
  const Mapping* const stack = map.find(block.begin + block.guard);
  if (guard == nullptr || stack == nullptr || !stack->readable || !stack->writable ||
      stack->end < block.begin + block.size)
    return false;
  // A mapping of its own, or (from glibc 2.42 on) pages that look like the others in the map.
  return guard == stack || (!guard->readable && guard->end == block.begin + block.guard);
}

bool write_at(int file, std::uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t done = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (done <= 0) return false;
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
  return true;
}

}  // namespace

UnwindRows unwind_rules_of(const ElfImage& image, const ProcessMemory& memory) {
  struct Header {  // LSB, .eh_frame_hdr
    std::uint8_t version, frame_encoding, count_encoding, table_encoding;
    std::int32_t frame;
  };
  constexpr std::uint8_t kSigned4Relative = 0x1b;  // to the place itself
  const ElfImage::Section place = image.unwind_header();
  const ElfImage::Section range = image.range();
  const auto header = memory.try_read<Header>(place.begin);
  if (place.begin == 0 || !header || header->version != 1 || header->frame_encoding != kSigned4Relative) return {};
  const std::uint64_t frame = place.begin + 4 + static_cast<std::uint64_t>(std::int64_t{header->frame});
  if (frame < range.begin || frame >= place.end || place.end - frame > kMostTables) return {};
  std::vector<std::byte> bytes(place.end - frame);
  if (!read_all(memory, frame, bytes)) return {};
  return compile_unwind_rules({.bytes = bytes, .address = frame, .begin = range.begin, .end = range.end});
}

std::uint32_t thread_stack_offset(std::span<const std::uint64_t> control_blocks, const MemoryMap& map,
                                  const ProcessMemory& memory) {
  constexpr std::uint32_t kFirst = 0x200;  // struct pthread of glibc
  constexpr std::uint32_t kLast = 0xa00;
  std::uint32_t found = 0;
  for (const std::uint64_t control_block : control_blocks) {
    for (std::uint32_t offset = kFirst; offset < kLast; offset += 8) {
      const auto block = memory.try_read<ThreadStackBlock>(control_block + offset);
      if (!block) break;
      if (!is_stack(*block, control_block, map)) continue;
      if (found != 0 && found != offset) return 0;
      found = offset;
    }
  }
  return found;
}

AgentCodeRange main_stack(pid_t pid, const MemoryMap& map) {
  constexpr std::uint64_t kMost = 64u << 20;  // the kernel leaves at least twice as much below a stack
  constexpr std::uint64_t kGuard = 1u << 20;
  std::uint64_t below = 0;
  for (const Mapping& mapping : map.mappings()) {
    if (mapping.name == "[stack]" && mapping.readable && mapping.writable) {
      const std::uint64_t size = std::min(stack_limit(pid), kMost);
      const std::uint64_t low = std::max(mapping.end - std::min(mapping.end, size), below + kGuard);
      return {std::min(low, mapping.begin), mapping.end};
    }
    below = mapping.end;
  }
  return {};
}

NativeTables::NativeTables(const Images& images, const ProcessMemory& memory, std::uint32_t python_hex)
    : memory_(&memory), python_hex_(python_hex) {
  for (const auto& image : images) {
    Library library = read(*image);
    find_loops(*image, library);
    waiting_.push_back(std::move(library));
  }
}

NativeTables::Library NativeTables::read(const ElfImage& image) {
  Library library;
  library.path = image.path();
  library.range = {image.range().begin, image.range().end};
  if (!image.is_64_bit_x86()) return library;
  library.rules = unwind_rules_of(image, *memory_);
  const bool is_python = image.exported_function(kLoop).has_value();
  const bool is_system = image.exported_function("__libc_start_main") || image.exported_function("pthread_create");
  library.rank = is_python ? 0 : is_system ? 1 : 2;
  return library;
}

// The functions that the loop's code is in: a compiler puts what is rarely run apart.
void NativeTables::find_loops(const ElfImage& image, const Library& library) {
  if (python_hex_ >= kLoopsHaveFrames || !loops_.empty() || library.rank != 0) return;
  for (const char* part : {"", ".cold"}) {
    const auto address = image.symbol(std::string(kLoop) + part);
    if (!address) continue;
    const auto& functions = library.rules.functions;
    const auto after = std::upper_bound(functions.begin(), functions.end(), *address,
                                        [](std::uint64_t at, const AgentCodeRange& each) { return at < each.begin; });
    if (after != functions.begin() && *address < std::prev(after)->end) loops_.push_back(*std::prev(after));
  }
}

void NativeTables::publish(pid_t pid, const Agent& agent, const ProcessMemory& memory, SharedTables& tables) {
  memory_ = &memory;
  tables_ = &tables;
  AgentNative& native = tables.header().native;
  const MemoryMap map = MemoryMap::of(pid);
  const AgentCodeRange stack = main_stack(pid, map);
  native.main_low = stack.begin;
  native.main_high = stack.end;
  native.stack_offset = thread_stack_offset(agent.control_blocks, map, memory);
  stacks_known_ = native.stack_offset != 0;
  std::copy(loops_.begin(), loops_.end(), std::begin(native.loops));
  native.loop_count = static_cast<std::uint32_t>(loops_.size());
  // Every function of the agent keeps a frame pointer.
  const AgentRule own{0, packed({.kind = UnwindKind::kBase, .offset = 16, .base = 16})};
  append({agent.place.image_begin, agent.place.image_end}, std::span(&own, 1));
  add(std::exchange(waiting_, {}));
}

void NativeTables::add(std::vector<Library> libraries) {
  std::stable_sort(libraries.begin(), libraries.end(), [](const Library& a, const Library& b) {
    return std::pair(a.rank, a.rules.rows.size()) < std::pair(b.rank, b.rules.rows.size());
  });
  for (const Library& library : libraries) {
    std::optional<std::uint32_t>& number = known_[{library.range.begin, library.path}];
    if (library.rules.rows.empty()) continue;
    if (append(library.range, library.rules.rows)) {
      number = ranges_ - 1;
    } else {
      left_out_.push_back(library.path);
    }
  }
  tell(ranges_);
}

bool NativeTables::append(const AgentCodeRange& range, std::span<const AgentRule> rows) {
  const AgentHeader::Sections& sections = tables_->header().sections;
  if (ranges_ >= sections.rule_ranges.capacity || rows.size() > sections.rules.capacity - rows_) return false;
  const AgentRuleRange entry{range.begin, range.end, rows_, rows.size()};
  const int file = tables_->descriptor();
  if (!write_at(file, sections.rules.offset + rows_ * sizeof(AgentRule), std::as_bytes(rows)) ||
      !write_at(file, sections.rule_ranges.offset + ranges_ * sizeof(entry), std::as_bytes(std::span(&entry, 1)))) {
    return false;
  }
  rows_ += rows.size();
  ++ranges_;
  return true;
}

void NativeTables::tell(std::uint32_t ranges) {
  AgentNative& native = tables_->header().native;
  std::atomic_ref(native.ranges).store(ranges, std::memory_order_release);
  std::atomic_ref(native.version).fetch_add(1, std::memory_order_release);
}

std::vector<std::string> NativeTables::update(const Images& images) {
  std::map<Key, const ElfImage*> present;
  for (const auto& image : images) present[{image->range().begin, image->path()}] = image.get();
  bool gone = false;
  for (auto it = known_.begin(); it != known_.end();) {
    if (present.count(it->first) != 0) {
      ++it;
      continue;
    }
    if (it->second) {
      // In one word: the agent may be looking.
      const std::uint64_t entry = tables_->header().sections.rule_ranges.offset + *it->second * sizeof(AgentRuleRange);
      write_at(tables_->descriptor(), entry + offsetof(AgentRuleRange, end),
               std::as_bytes(std::span(&it->first.first, 1)));
      gone = true;
    }
    it = known_.erase(it);
  }
  std::vector<Library> fresh;
  std::vector<std::string> paths;
  for (const auto& [key, image] : present) {
    if (known_.count(key) != 0) continue;
    fresh.push_back(read(*image));
    paths.push_back(image->path());
  }
  if (gone) tell(ranges_);
  if (!fresh.empty()) add(std::move(fresh));
  return paths;
}

bool NativeTables::find_stacks(pid_t pid) {
  constexpr std::uint64_t kMostThreads = 64;
  if (stacks_known_) return false;
  const AgentHeader& header = tables_->header();
  std::vector<std::uint64_t> blocks;
  const std::uint64_t count = std::min<std::uint64_t>(
      std::atomic_ref(const_cast<std::uint32_t&>(header.thread_count)).load(std::memory_order_acquire), kMostThreads);
  if (std::exchange(threads_seen_, count) == count) return false;
  for (std::uint64_t i = 1; i <= count && i < header.sections.threads.capacity; ++i) {
    AgentThread thread{};
    const auto at = static_cast<off_t>(header.sections.threads.offset + i * sizeof(AgentThread));
    if (::pread(tables_->descriptor(), &thread, sizeof(thread), at) != sizeof(thread)) break;
    if (thread.state == 1 && thread.control_block != 0) blocks.push_back(thread.control_block);
  }
  try {
    const std::uint32_t offset = thread_stack_offset(blocks, MemoryMap::of(pid), *memory_);
    stacks_known_ = offset != 0;
    if (stacks_known_) std::atomic_ref(tables_->header().native.stack_offset).store(offset, std::memory_order_release);
  } catch (const Error&) {  // it has ended
  }
  return stacks_known_;
}

}  // namespace memsnap
