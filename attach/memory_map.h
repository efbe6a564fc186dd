#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace memsnap {

// One line of /proc/PID/maps, proc_pid_maps(5).
struct Mapping {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t offset = 0;  // in the file
  std::uint64_t device = 0;  // major << 32 | minor
  std::uint64_t inode = 0;
  bool readable = false;
  bool writable = false;
  bool executable = false;
  bool shared = false;
  std::string name;  // path, "[heap]", "[stack]", "[anon:...]", or empty; as the kernel prints it, unescaped octal

  std::uint64_t size() const { return end - begin; }
};

// The mappings of a process, in address order.
class MemoryMap {
 public:
  explicit MemoryMap(std::vector<Mapping> mappings);
  static MemoryMap of(pid_t pid);                 // throws Error kNoSuchProcess, kNoPermission
  static MemoryMap parse(std::string_view text);  // skips a line it cannot read

  std::span<const Mapping> mappings() const { return mappings_; }
  const Mapping* find(std::uint64_t address) const;  // nullptr: not mapped

 private:
  std::vector<Mapping> mappings_;
};

// Sizes from /proc/PID/smaps_rollup (4.14+; else summed from smaps) and status, in bytes.
struct MemoryUse {
  std::uint64_t rss = 0;
  std::uint64_t pss = 0;
  std::uint64_t uss = 0;  // private clean + private dirty
  std::uint64_t shared = 0;
  std::uint64_t swap = 0;
  std::uint64_t page_tables = 0;  // VmPTE
};
MemoryUse read_memory_use(pid_t pid);  // throws Error kNoSuchProcess, kNoPermission
// Bytes of anonymous memory that other processes still share with it, copy-on-write: what a fork has not cost yet. From
// /proc/PID/smaps; throws as above.
std::uint64_t read_shared_anonymous(pid_t pid);

}  // namespace memsnap
