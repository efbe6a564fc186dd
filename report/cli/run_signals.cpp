#include "report/cli/run_signals.h"

#include <array>
#include <charconv>
#include <cstring>
#include <string_view>

#include "report/cli/signals.h"

namespace memsnap {
namespace {

constexpr std::array<int, 7> kTaken{SIGCHLD, SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGTSTP, SIGTTOU};

}  // namespace

int signal_number(const std::string& name) {
  constexpr std::array<int, 6> kFree{SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGIO, SIGPROF};
  std::string_view word = name;
  int number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  const bool is_number = error == std::errc{} && end == word.data() + word.size();
  if (word.starts_with("SIG")) word.remove_prefix(3);
  for (const int signal : kFree) {
    if (is_number ? number == signal : word == ::sigabbrev_np(signal)) return signal;
  }
  return is_number && number >= SIGRTMIN && number <= SIGRTMAX ? number : 0;
}

RunSignals::RunSignals(int wanted) : wanted_(wanted) {
  sigemptyset(&taken_);
  for (const int signal : kTaken) sigaddset(&taken_, signal);
  if (wanted_ != 0) sigaddset(&taken_, wanted_);
  ::pthread_sigmask(SIG_BLOCK, &taken_, &mask_before_);
  struct sigaction usual {};
  usual.sa_handler = SIG_DFL;  // ignored, children would be reaped unseen
  ::sigaction(SIGCHLD, &usual, &child_ended_before_);
}

RunSignals::~RunSignals() {
  ::sigaction(SIGCHLD, &child_ended_before_, nullptr);
  // Those that came late are not for us any more: the program has ended, and what it leaves is its exit status.
  const timespec none{};
  while (::sigtimedwait(&taken_, nullptr, &none) > 0) {
  }
  ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

void RunSignals::give(LaunchCommand& command) const {
  command.blocked = mask_before_;
  command.broken_pipe = failed_writes_before(SIGPIPE);
  command.file_too_large = failed_writes_before(SIGXFSZ);
  command.child_ended = child_ended_before_;
}

bool RunSignals::attend(std::chrono::milliseconds wait) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(wait);
  timespec time{seconds.count(), std::chrono::nanoseconds(wait - seconds).count()};
  siginfo_t info{};
  while (::sigtimedwait(&taken_, &info, &time) > 0) {
    see_to(info);
    time = {};
  }
  return std::exchange(stop_, false);
}

void RunSignals::see_to(const siginfo_t& info) {
  if (info.si_signo == wanted_) {
    requested_ = true;
  } else if (info.si_signo == SIGTSTP) {
    stop_ = true;
  } else if (info.si_signo == SIGTERM || info.si_signo == SIGHUP) {
    // The kernel sends SIGHUP of a closed terminal to the program as well.
    if (info.si_code != SI_KERNEL && program_ != 0) ::kill(program_, info.si_signo);
  }
}

}  // namespace memsnap
