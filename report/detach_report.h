#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/report.h"

namespace memsnap {

// What `memsnap detach` did to one process.
struct DetachFindings {
  std::int32_t pid = 0;
  bool found = false;             // there was an agent in it
  std::int32_t ended_keeper = 0;  // the memsnap that was asked to end its session; 0: none had it
  double pause_ms = 0;
  std::uint64_t hooks_undone = 0;
  std::uint32_t copies_reaped = 0;  // frozen copies of memsnaps that were killed
  std::vector<std::string> left_behind{};
  std::string file{};  // of the session that was ended; empty: not known
  std::vector<std::string> child_files{};
  std::vector<std::string> warnings{};
};

// memsnap.detach/1
Report make_detach(const DetachFindings& findings);

}  // namespace memsnap
