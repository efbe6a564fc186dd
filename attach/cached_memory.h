#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "attach/base/file_descriptor.h"
#include "attach/memory_map.h"
#include "attach/process_memory.h"

namespace memsnap {

// A process's memory as it is, read anew every time through proc_pid_mem(5): process_vm_readv(2) pins the pages it
// reads, for which the kernel gives a frozen copy pages of its own, charged to the target's cgroup. It is used all the
// same where the file may not be opened. Partial reads are failures.
class LiveMemory final : public ProcessMemory {
 public:
  explicit LiveMemory(pid_t pid);
  bool copy(std::uint64_t address, std::span<std::byte> out) const override;

 private:
  pid_t pid_;
  FileDescriptor file_;
};

// Reads `source` in chunks of 64 KiB inside the readable mappings of `map` and keeps them up to `capacity` bytes, so
// that millions of small reads cost few system calls. Not thread-safe. A chunk with a hole is read page by page.
class CachedMemory final : public ProcessMemory {
 public:
  CachedMemory(const ProcessMemory& source, const MemoryMap& map, std::size_t capacity);
  ~CachedMemory() override;
  CachedMemory(const CachedMemory&) = delete;
  CachedMemory& operator=(const CachedMemory&) = delete;
  bool copy(std::uint64_t address, std::span<std::byte> out) const override;
  // The bytes in place, without a copy; empty when not readable, or when the range crosses a chunk (then use copy).
  // Valid until the next call.
  std::span<const std::byte> view(std::uint64_t address, std::size_t size) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace memsnap
