#pragma once

#include <sys/types.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "attach/cached_memory.h"
#include "attach/memory_map.h"
#include "attach/process_memory.h"

namespace memsnap {

// Memory that is shared copy-on-write, with a frozen copy or by a fork, through proc_pid_mem(5): process_vm_readv(2)
// pins the pages it reads, for which the kernel gives the process pages of its own, charged to its cgroup. It is used
// all the same where the file may not be opened. What a device mapped is refused: this file, unlike that call, reads
// its registers.
class ChildMemory final : public ProcessMemory {
 public:
  ChildMemory(pid_t pid, const MemoryMap& map);
  bool copy(std::uint64_t address, std::span<std::byte> out) const override;

 private:
  bool touches_device(std::uint64_t begin, std::uint64_t size) const;

  LiveMemory pinned_;
  FileDescriptor file_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> devices_;  // ascending
};

// Of a driver, of /sys or /proc, or of a descriptor that is no file (vfio, DMA buffers): reading it may do something.
bool is_device(const Mapping& mapping);

}  // namespace memsnap
