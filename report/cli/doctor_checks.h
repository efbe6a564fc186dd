#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "attach/base/error.h"
#include "report/process_report.h"

namespace memsnap {

// Whether a snapshot would work, and why not: asked of /proc and by reading; nothing is stopped.
struct DoctorResult {
  std::vector<Check> checks;
  ExitCode code =
      ExitCode::kDone;  // kNoPermission, kUnsupported, kBusy, kNoSuchProcess: the first that stands in the way
};

DoctorResult check_machine();
// `directory`: where the snapshot would be written.
DoctorResult check_process(pid_t pid, const std::string& directory);

}  // namespace memsnap
