#pragma once

#include <stdexcept>
#include <string>
#include <utility>

namespace memsnap {

// The process exit status: one for each thing a script or a cron job may want to tell apart.
enum class ExitCode {
  kDone = 0,
  kThreshold = 1,      // done, and the answer is "no" or a limit was crossed
  kUsage = 2,          // wrong usage, ambiguous selector
  kNoSuchProcess = 3,  // not found, or ended before anything was done to it
  kNoPermission = 4,
  kUnsupported = 5,  // not CPython, free-threaded, version, architecture
  kBusy = 6,         // another tracer, or another memsnap holds the lock
  kGaveUp = 7,       // no safe point in time, or a pause or memory limit would be passed; target untouched
  kSomeFailed = 8,   // several targets: some failed
  kCannotWrite = 9,  // output
  kBadFile = 10,     // input unreadable, truncated, damaged, or from a newer version
  kTargetHarmed = 11,
  kLeftBehind = 12,
  kInternal = 70,
  kNotStarted = 125,  // memsnap run: its own failure, as of env(1) and timeout(1); the next two of the program's
  kNotExecutable = 126,
  kNoSuchProgram = 127,
};

// What failed and why (`what`), and what the reader can do about it (`hint`).
class Error : public std::runtime_error {
 public:
  Error(ExitCode code, const std::string& what, std::string hint)
      : std::runtime_error(what), code_(code), hint_(std::move(hint)) {}

  ExitCode code() const noexcept { return code_; }
  const std::string& hint() const noexcept { return hint_; }

 private:
  ExitCode code_;
  std::string hint_;
};

}  // namespace memsnap
