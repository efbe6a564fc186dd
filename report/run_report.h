#pragma once

#include "report/report.h"
#include "report/tracking_report.h"

namespace memsnap {

// How a program that memsnap started went.
struct RunFindings {
  TrackingFindings tracking;
  int exit_status = 0;  // the program's own, as a shell has it: 128 + N when signal N ended it
  int signal = 0;       // that ended it
  bool from_start = false;
  double start_ms = 0;
  double held_ms = 0;
  std::vector<std::string> snapshots{};  // files that were written on the way
};

// memsnap.capture/1 with what only a started program has: a few lines for people, who see the program's own output too.
Report make_run(const RunFindings& findings);

}  // namespace memsnap
