#pragma once

#include <cstdint>

#include "attach/base/file_descriptor.h"
#include "attach/process_id.h"

namespace memsnap {

// A process as it was when this was made: false once it has ended or replaced its program (execve). An open mem file
// keeps to the address space it was opened on, and reads end of file when that is gone.
class SameProgram {
 public:
  SameProgram(const ProcessId& target, std::uint64_t some_code);
  bool still() const;

 private:
  const ProcessId& target_;
  FileDescriptor memory_;
  std::uint64_t some_code_;  // an address that is mapped in it
};

}  // namespace memsnap
