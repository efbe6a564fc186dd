#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "attach/base/error.h"
#include "attach/base/file_descriptor.h"
#include "attach/tracer_thread.h"

namespace memsnap {

// What a command is started with, besides what every process inherits: signals as they were before memsnap changed
// them.
struct LaunchCommand {
  std::vector<std::string> arguments;  // the program first; without a '/' it is looked for in PATH
  sigset_t blocked{};
  struct sigaction broken_pipe {};     // of SIGPIPE
  struct sigaction file_too_large {};  // of SIGXFSZ
  struct sigaction child_ended {};     // of SIGCHLD
};

// A command from its fork to the moment it is let go, traced by a thread of its own: held where memsnap wants to look
// at it, by the processor's debug registers, so that no text of it is changed. Signals reach it and stops stop it as if
// nobody traced it. It ends with memsnap (PTRACE_O_EXITKILL) only while debug registers are set: before it has begun,
// and while its interpreter is being made.
class LaunchedProcess {
 public:
  // `waiting` is called several times a second while it runs, by the tracing thread. SIGCHLD is blocked in all threads,
  // or the end of each wait comes late. Throws Error: kNoSuchProgram, kNotExecutable; kNoPermission
  // when processes may not be traced.
  LaunchedProcess(const LaunchCommand& command, std::function<void()> waiting);
  ~LaunchedProcess();  // lets it go
  LaunchedProcess(const LaunchedProcess&) = delete;
  LaunchedProcess& operator=(const LaunchedProcess&) = delete;

  pid_t pid() const { return pid_; }
  TracerThread& tracer() { return tracer_; }

  enum class Reached {
    kPlace,    // held there
    kProgram,  // it has become another program (execve): held before its first instruction
    kEnded,    // it waits to be reaped
    kRefused,  // the kernel does not give debug registers: held where it was
    kLate,     // the time was over: held where it was
  };
  // From a new program to the program's own first instruction: its libraries are loaded and bound, and their
  // constructors have run.
  Reached run_to_entry();
  // Till the aligned 32-bit word at `address` was changed by the main thread, and is not 0.
  Reached run_to_write(std::uint64_t address, std::chrono::milliseconds limit);
  // Till it becomes another program.
  Reached run_to_program();
  // It is no longer traced, and runs.
  void let_go();

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  enum class Stop { kProgram, kTrap, kLate, kEnded };
  void start(const LaunchCommand& command);
  [[noreturn]] static void become(const LaunchCommand& command, char* const* arguments, int go, int failed);
  void report_failure(const std::string& program);
  bool go_on(bool guarded);
  Stop next_stop(bool guarded, TimePoint limit = TimePoint::max());
  std::optional<Stop> see_to(int status, bool asked);
  Reached run_to(std::uint64_t address, std::uint64_t kind, TimePoint limit = TimePoint::max());
  bool arm(std::uint64_t address, std::uint64_t kind);
  void disarm();
  void hold();

  std::function<void()> waiting_;
  FileDescriptor failed_;  // the read end of what says why it could not be executed
  pid_t pid_ = 0;
  bool held_ = false;
  bool traced_ = false;
  bool armed_ = false;
  TracerThread tracer_;  // ends before the rest
};

}  // namespace memsnap
