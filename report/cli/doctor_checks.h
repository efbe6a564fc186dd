#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "attach/base/error.h"
#include "attach/frozen_process.h"
#include "report/process_report.h"

namespace memsnap {

// Whether a snapshot would work, and why not: asked of /proc and by reading; nothing is stopped.
struct DoctorResult {
  std::vector<Check> checks;
  ExitCode code =
      ExitCode::kDone;  // the first that stands in the way: kNoPermission, kUnsupported, kBusy, kGaveUp, ...
};

DoctorResult check_machine();
// `directory`: where the snapshot would be written. `freeze`: how it would be taken.
DoctorResult check_process(pid_t pid, const std::string& directory, const FreezeOptions& freeze);

}  // namespace memsnap
