#pragma once

#include <array>
#include <csignal>

namespace memsnap {

// While it lives, SIGINT, SIGTERM and SIGHUP only set a flag, so that the destructors that restore the target run;
// a second one does no more than the first. Ctrl-Z, and writing to a terminal from the background (tostop), take effect
// only at its end: a memsnap that is stopped would hold its target stopped too. A signal ignored
// before stays ignored.
class SignalGuard {
 public:
  SignalGuard();
  ~SignalGuard();
  SignalGuard(const SignalGuard&) = delete;
  SignalGuard& operator=(const SignalGuard&) = delete;

  static int received();         // the first signal, 0: none
  static void heed(int number);  // one that was ignored before sets the flag too, from now on

 private:
  static constexpr std::array<int, 3> kSignals{SIGINT, SIGTERM, SIGHUP};
  std::array<struct sigaction, kSignals.size()> before_{};
  sigset_t mask_before_{};
};

// SIGPIPE, and SIGXFSZ of a limit of file sizes: both are errors of write().
void ignore_failed_writes();
// Of one of them before that: what a program that memsnap starts is to have.
struct sigaction failed_writes_before(int number);

}  // namespace memsnap
