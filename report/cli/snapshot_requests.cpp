#include "report/cli/snapshot_requests.h"

#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>

namespace memsnap {
namespace {

// Signal handlers have no parameter of ours: these are what they can reach.
std::atomic<bool> signalled{false};
std::atomic<bool> must_restore{false};
termios before{};

constexpr std::array<int, 9> kFatal{SIGQUIT, SIGABRT, SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGALRM, SIGUSR2, SIGXFSZ};

void remember(int) { signalled.store(true); }

// tcsetattr(3) is async-signal-safe; SIGTTOU is blocked.
void restore_terminal() {
  if (must_restore.exchange(false)) ::tcsetattr(STDIN_FILENO, TCSANOW, &before);
}

void restore_and_die(int number) {
  restore_terminal();
  ::signal(number, SIG_DFL);
  ::raise(number);
}

void handle(int number, void (*handler)(int), int flags) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ::sigaction(number, &action, nullptr);
}

}  // namespace

SnapshotRequests::SnapshotRequests(bool keys) : keys_(keys && ::isatty(STDIN_FILENO) == 1) {
  handle(SIGUSR1, remember, SA_RESTART);
  if (!keys_) must_restore.store(false);  // in a process forked from one that has taken the terminal over
  if (!keys_) return;
  sigset_t reading;
  sigemptyset(&reading);
  sigaddset(&reading, SIGTTIN);  // in the background a read fails, and does not stop memsnap
  ::pthread_sigmask(SIG_BLOCK, &reading, nullptr);
}

SnapshotRequests::~SnapshotRequests() {
  restore_terminal();
  if (changed_) {
    for (const int number : kFatal) handle(number, SIG_DFL, 0);
  }
  handle(SIGUSR1, SIG_IGN, 0);  // one that comes too late ends nothing
}

bool SnapshotRequests::asked() {
  const bool by_signal = signalled.exchange(false);
  if (!keys_ || !owns_terminal()) return by_signal;
  if (!changed_) take_over();
  return key_pressed() || by_signal;
}

bool SnapshotRequests::owns_terminal() const { return ::tcgetpgrp(STDIN_FILENO) == ::getpgrp(); }

void SnapshotRequests::take_over() {
  changed_ = true;
  if (::tcgetattr(STDIN_FILENO, &before) != 0 || (before.c_lflag & ICANON) == 0) return;
  for (const int number : kFatal) handle(number, restore_and_die, static_cast<int>(SA_RESETHAND));
  termios one_by_one = before;
  one_by_one.c_lflag &= ~static_cast<tcflag_t>(ICANON);
  one_by_one.c_cc[VMIN] = 1;
  one_by_one.c_cc[VTIME] = 0;
  must_restore.store(true);
  ::tcsetattr(STDIN_FILENO, TCSANOW, &one_by_one);
}

bool SnapshotRequests::key_pressed() const {
  bool pressed = false;
  pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
  while (::poll(&input, 1, 0) == 1 && (input.revents & POLLIN) != 0) {
    char key = 0;
    if (::read(STDIN_FILENO, &key, 1) != 1) break;
    pressed = pressed || key == 's' || key == 'S';
  }
  return pressed;
}

}  // namespace memsnap
