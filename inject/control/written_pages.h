#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
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

 private:
  void read(std::uint64_t begin, std::uint64_t end, const ProcessMemory& memory, const Visit& visit);
  FileDescriptor pagemap_;
  std::vector<std::byte> bytes_;
  std::uint64_t unreadable_ = 0;
};

}  // namespace memsnap
