#pragma once

#include <sys/types.h>

#include "report/cli/command.h"
#include "report/live_report.h"
#include "snapshot/capture/slice_recorder.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// What is live by function, one screen for each reading of the tables.
class LiveScreens {
 public:
  LiveScreens(const Invocation& invocation, pid_t pid, bool once);
  void show(const SliceRecorder& recorder);
  bool is_over() const { return (once_ && shown_) || invocation_.cancelled(); }

 private:
  const Invocation& invocation_;
  bool once_;
  bool shown_ = false;
  LiveOptions options_;
  Snapshot snapshot_;
};

}  // namespace memsnap
