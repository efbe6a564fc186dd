#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "attach/memory_map.h"
#include "attach/process_memory.h"

namespace memsnap {

// Reads those pages of a mapping that a process has written to, by pagemap: in memory or swapped out, and its own.
class WrittenPages {
 public:
  using Visit = std::function<void(std::uint64_t address, std::span<const std::byte> bytes)>;
  explicit WrittenPages(pid_t pid);  // whose page map tells; 0: none, all pages are read

  // Runs of pages, each whole, in order. `shared`: pages of a shared mapping that are in use count too.
  void each(const Mapping& mapping, const ProcessMemory& memory, bool shared, const Visit& visit);
  std::uint64_t unreadable() const { return unreadable_; }  // pages
  // From here on as on kernels before 6.7: entry by entry. For tests.
  void use_entries() { can_scan_ = false; }

 private:
  using Run = std::pair<std::uint64_t, std::uint64_t>;  // addresses
  bool scan(std::uint64_t from, std::uint64_t end, bool shared, std::uint64_t* next);
  void look(std::uint64_t from, std::uint64_t end, bool shared, std::uint64_t* next);
  void read(std::uint64_t begin, std::uint64_t end, const ProcessMemory& memory, const Visit& visit);

  FileDescriptor pagemap_;
  bool can_scan_ = true;
  std::vector<Run> runs_;
  std::vector<std::uint64_t> entries_;
  std::vector<std::byte> bytes_;
  std::uint64_t unreadable_ = 0;
};

}  // namespace memsnap
