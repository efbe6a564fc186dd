#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "attach/base/file_descriptor.h"

namespace memsnap {

// One memsnap per target at a time. The kernel lets go of it when memsnap ends, however it ends.
class TargetLock {
 public:
  // `file`: a path, made when it is missing; "auto": the target itself (its folder in /proc), which leaves no file.
  // Throws Error: kBusy when another memsnap has it, kNoSuchProcess, kCannotWrite.
  TargetLock(const std::string& file, pid_t target);

 private:
  FileDescriptor file_;
};

// Of option --lock; empty: not asked for.
std::optional<TargetLock> lock_target(const std::optional<std::string>& file, pid_t target);

}  // namespace memsnap
