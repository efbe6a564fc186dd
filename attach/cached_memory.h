#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "attach/memory_map.h"
#include "attach/process_memory.h"

namespace memsnap {

// A process's memory as it is, read anew every time (process_vm_readv(2), which refuses what a device mapped). Partial
// reads are failures.
class LiveMemory final : public ProcessMemory {
 public:
  explicit LiveMemory(pid_t pid) : pid_(pid) {}
  bool copy(std::uint64_t address, std::span<std::byte> out) const override;

 private:
  pid_t pid_;
};

// What confines memsnap (a seccomp filter, a security module) may forbid its memory, and not its memory map: Error
// kNoPermission.
void require_readable(pid_t pid, const MemoryMap& map);

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
