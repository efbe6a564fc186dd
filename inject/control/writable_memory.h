#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "attach/base/file_descriptor.h"
#include "attach/process_memory.h"

namespace memsnap {

// A target's memory through one proc_pid_mem(5) file, which keeps to the address space it was opened on: after an
// execve nothing is read and nothing is written. Writes go past page protection, as a debugger's do.
class WritableMemory final : public ProcessMemory {
 public:
  explicit WritableMemory(pid_t pid);  // throws Error kNoPermission

  bool copy(std::uint64_t address, std::span<std::byte> out) const override;
  // `stopped`: a thread that the calling thread traces, for the way round a kernel that restricts the file; 0: none.
  bool write(std::uint64_t address, std::span<const std::byte> bytes, pid_t stopped = 0) const;

  template <Readable T>
  bool write_value(std::uint64_t address, const T& value, pid_t stopped = 0) const {
    return write(address, std::as_bytes(std::span(&value, 1)), stopped);
  }

 private:
  FileDescriptor file_;
};

}  // namespace memsnap
