#include "report/cli/signals.h"

#include <atomic>

namespace memsnap {
namespace {

// A signal handler has no parameter of ours: this is the one variable it can reach.
std::atomic<int> first_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

std::atomic<bool> pipes_were_ignored{false};  // of the whole process, as the signal's disposition is

void remember(int number) {
  int none = 0;
  first_signal.compare_exchange_strong(none, number);
}

}  // namespace

void SignalGuard::heed(int number) {
  struct sigaction action {};
  action.sa_handler = remember;
  action.sa_flags = SA_RESTART;
  ::sigaction(number, &action, nullptr);
}

SignalGuard::SignalGuard() {
  sigset_t stops;
  sigemptyset(&stops);
  sigaddset(&stops, SIGTSTP);
  sigaddset(&stops, SIGTTOU);
  ::pthread_sigmask(SIG_BLOCK, &stops, &mask_before_);  // threads made later inherit it
  for (std::size_t i = 0; i < kSignals.size(); ++i) {
    ::sigaction(kSignals[i], nullptr, &before_[i]);
    if (before_[i].sa_handler == SIG_IGN) continue;
    heed(kSignals[i]);
  }
}

SignalGuard::~SignalGuard() {
  for (std::size_t i = 0; i < kSignals.size(); ++i) ::sigaction(kSignals[i], &before_[i], nullptr);
  ::pthread_sigmask(SIG_SETMASK, &mask_before_, nullptr);
}

int SignalGuard::received() { return first_signal.load(); }

void ignore_broken_pipes() { pipes_were_ignored = std::signal(SIGPIPE, SIG_IGN) == SIG_IGN; }

struct sigaction broken_pipes_before() {
  struct sigaction action {};
  action.sa_handler = pipes_were_ignored ? SIG_IGN : SIG_DFL;
  return action;
}

}  // namespace memsnap
