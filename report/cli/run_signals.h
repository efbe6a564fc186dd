#pragma once

#include <chrono>
#include <csignal>
#include <string>
#include <utility>

#include "attach/launched_process.h"

namespace memsnap {

// SIGUSR1, USR1 or 10; 0: no signal is called so, or it cannot be used for a request.
int signal_number(const std::string& name);

// The signals of a memsnap that runs a program: blocked in all its threads and taken when it has time. A terminal's
// Ctrl-C reaches the program too, and memsnap waits for what it makes of that; SIGTERM and SIGHUP are sent on; Ctrl-Z
// stops both.
class RunSignals {
 public:
  // Before any thread is made. `wanted`: a signal that asks for a snapshot; 0: none.
  explicit RunSignals(int wanted);
  ~RunSignals();
  RunSignals(const RunSignals&) = delete;
  RunSignals& operator=(const RunSignals&) = delete;

  void set_program(pid_t pid) { program_ = pid; }
  // What the program is to start with.
  void give(LaunchCommand& command) const;
  // Waits so long for one, and sees to all that are there. True: memsnap is to stop itself.
  bool attend(std::chrono::milliseconds wait);
  bool take_request() { return std::exchange(requested_, false); }

 private:
  void see_to(const siginfo_t& info);

  int wanted_;
  pid_t program_ = 0;
  bool requested_ = false;
  bool stop_ = false;
  sigset_t taken_{};
  sigset_t mask_before_{};
  struct sigaction child_ended_before_ {};
};

}  // namespace memsnap
