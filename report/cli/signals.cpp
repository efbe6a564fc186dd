#include "report/cli/signals.h"

#include <atomic>

namespace memsnap {
namespace {

// A signal handler has no parameter of ours: this is the one variable it can reach.
std::atomic<int> first_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);

// Of the whole process, as the dispositions are.
std::atomic<bool> pipes_were_ignored{false};
std::atomic<bool> limits_were_ignored{false};

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

void ignore_failed_writes() {
  pipes_were_ignored = std::signal(SIGPIPE, SIG_IGN) == SIG_IGN;
  limits_were_ignored = std::signal(SIGXFSZ, SIG_IGN) == SIG_IGN;
}

struct sigaction failed_writes_before(int number) {
  struct sigaction action {};
  const bool ignored = number == SIGPIPE ? pipes_were_ignored : limits_were_ignored;
  action.sa_handler = ignored ? SIG_IGN : SIG_DFL;
  return action;
}

}  // namespace memsnap
