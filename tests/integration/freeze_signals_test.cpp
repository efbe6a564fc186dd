#include <gtest/gtest.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/forked_target.h"

namespace memsnap {
namespace {

using std::chrono::duration_cast;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

TargetNotes* g_notes = nullptr;  // for signal handlers, in the target

TEST(FreezeSignals, NoneIsLostAndEachKeepsItsValue) {
  constexpr std::uint64_t kSignals = 200;
  ForkedTarget target([](TargetNotes& notes) {
    g_notes = &notes;
    struct sigaction action {};
    action.sa_flags = SA_SIGINFO | SA_RESTART;
    action.sa_sigaction = [](int, siginfo_t* info, void*) {
      ++g_notes->words[0];
      g_notes->words[1] += static_cast<std::uint64_t>(info->si_value.sival_int);
    };
    ::sigaction(SIGRTMIN + 1, &action, nullptr);
    for (int i = 0; i < 3; ++i) {
      std::thread([] {
        for (;;) ::usleep(50);
      }).detach();
    }
    notes.ready = 1;
    for (;;) ++notes.words[2];
  });
  target.wait_ready();
  std::atomic<bool> enough{false};
  std::uint64_t sent = 0;
  std::thread sender([&] {
    for (; !enough || sent < kSignals; ::usleep(1000)) {
      sigval value{};
      value.sival_int = static_cast<int>(sent + 1);
      sent += ::sigqueue(target.pid(), SIGRTMIN + 1, value) == 0;  // the queue may be full
    }
  });

  for (int i = 0; i < 20; ++i) freeze_now(target.pid());
  enough = true;
  sender.join();

  ForkedTarget::wait_until([&] { return target.word(0) == sent; });
  EXPECT_EQ(target.word(1), sent * (sent + 1) / 2);
}

TEST(FreezeSignals, SignalToOneThreadIsNotLost) {
  ForkedTarget target([](TargetNotes& notes) {
    g_notes = &notes;
    struct sigaction action {};
    action.sa_handler = [](int) { ++g_notes->words[0]; };
    ::sigaction(SIGUSR1, &action, nullptr);
    notes.ready = 1;
    for (;;) ::pause();
  });
  target.wait_ready();

  for (std::uint64_t sent = 1; sent <= 200; ++sent) {
    std::thread killer([&] { ::syscall(SYS_tgkill, target.pid(), target.pid(), SIGUSR1); });
    if (sent % 4 == 0) {
      freeze_now(target.pid());
    } else {
      freeze_now(target.pid(), Method::kStop);
    }
    killer.join();
    ForkedTarget::wait_until([&] { return target.word(0) == sent; });
  }
}

TEST(FreezeSignals, StoppedTargetStaysStopped) {
  ForkedTarget target([](TargetNotes& notes) {
    std::thread([] {
      for (;;) ::pause();
    }).detach();
    notes.ready = 1;
    for (;;) ++notes.words[0];
  });
  target.wait_ready();
  ::kill(target.pid(), SIGSTOP);
  ForkedTarget::wait_until([&] { return state_of(target.pid()) == 'T'; });
  const auto before = target.word(0);

  for (int i = 0; i < 10; ++i) {
    const auto frozen = freeze_now(target.pid());
    EXPECT_TRUE(frozen->facts().was_stopped);
    EXPECT_TRUE(frozen->release().empty());
    ForkedTarget::wait_until([&] { return state_of(target.pid()) == 'T'; });
  }

  EXPECT_EQ(target.word(0), before);
  ::kill(target.pid(), SIGCONT);
  ForkedTarget::wait_until([&] { return target.word(0) > before; });
}

TEST(FreezeSignals, StopSentWhileFrozenIsKept) {
  ForkedTarget target([](TargetNotes& notes) {
    notes.ready = 1;
    for (;;) ++notes.words[0];
  });
  target.wait_ready();
  for (int i = 0; i < 40; ++i) {
    std::thread killer([&] {
      ::usleep(static_cast<useconds_t>(i * 37));
      ::kill(target.pid(), SIGSTOP);
    });
    freeze_now(target.pid());
    killer.join();
    ASSERT_TRUE(ForkedTarget::wait_until([&] { return state_of(target.pid()) == 'T'; })) << "round " << i;
    ::kill(target.pid(), SIGCONT);
  }
}

TEST(FreezeSignals, TimersFire) {
  ForkedTarget target([](TargetNotes& notes) {
    g_notes = &notes;
    struct sigaction action {};
    action.sa_handler = [](int) { ++g_notes->words[0]; };
    action.sa_flags = SA_RESTART;
    ::sigaction(SIGALRM, &action, nullptr);
    const itimerval every{{0, 1000}, {0, 1000}};
    ::setitimer(ITIMER_REAL, &every, nullptr);
    notes.ready = 1;
    for (;;) ++notes.words[1];
  });
  target.wait_ready();
  const auto begin = steady_clock::now();

  for (int i = 0; i < 30; ++i) freeze_now(target.pid());
  while (steady_clock::now() - begin < milliseconds(500)) ::usleep(1000);

  const auto fired = target.word(0);
  EXPECT_GT(fired, 150u);
  ForkedTarget::wait_until([&] { return target.word(0) > fired; });
}

// What a blocking call gives back when the target is frozen several times meanwhile.
struct Outcome {
  std::int64_t result = 0;
  int error = 0;
  milliseconds lasted{};
};

Outcome frozen_during(const std::function<std::int64_t()>& call, const std::function<void(pid_t)>& wake = {}) {
  ForkedTarget target([&](TargetNotes& notes) {
    const auto begin = steady_clock::now();
    notes.ready = 1;
    const std::int64_t result = call();
    notes.words[1] = static_cast<std::uint64_t>(result < 0 ? errno : 0);
    notes.words[0] = static_cast<std::uint64_t>(result);
    notes.words[2] = static_cast<std::uint64_t>(duration_cast<milliseconds>(steady_clock::now() - begin).count());
    notes.ready = 2;
    for (;;) ::pause();
  });
  target.wait_ready();
  ::usleep(50000);
  for (int i = 0; i < 8; ++i) {
    freeze_now(target.pid());
    ::usleep(10000);
  }
  if (wake) wake(target.pid());
  target.wait_ready(2);
  return {static_cast<std::int64_t>(target.word(0)), static_cast<int>(target.word(1)), milliseconds(target.word(2))};
}

struct Pipe {
  Pipe() { EXPECT_EQ(::pipe(ends), 0); }
  ~Pipe() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void feed() const { EXPECT_EQ(::write(ends[1], "x", 1), 1); }
  int ends[2] = {};
};

TEST(FreezeRestarts, Read) {
  Pipe pipe;
  char byte = 0;
  const auto outcome = frozen_during([&] { return ::read(pipe.ends[0], &byte, 1); }, [&](pid_t) { pipe.feed(); });
  EXPECT_EQ(outcome.result, 1);
}

TEST(FreezeRestarts, Poll) {
  Pipe pipe;
  pollfd wanted{pipe.ends[0], POLLIN, 0};
  const auto fed = frozen_during([&] { return ::poll(&wanted, 1, 30000); }, [&](pid_t) { pipe.feed(); });
  EXPECT_EQ(fed.result, 1);
  Pipe empty;
  wanted.fd = empty.ends[0];
  const auto timed = frozen_during([&] { return ::poll(&wanted, 1, 800); });
  EXPECT_EQ(timed.result, 0);
  EXPECT_GE(timed.lasted, milliseconds(800));
  EXPECT_LT(timed.lasted, milliseconds(1300));
}

TEST(FreezeRestarts, Nanosleep) {
  const timespec wanted{0, 800'000'000};
  const auto outcome = frozen_during([&] { return ::nanosleep(&wanted, nullptr); });
  EXPECT_EQ(outcome.result, 0);
  EXPECT_GE(outcome.lasted, milliseconds(800));
  EXPECT_LT(outcome.lasted, milliseconds(1300));
}

TEST(FreezeRestarts, EndlessEpoll) {
  Pipe pipe;
  const int epoll = ::epoll_create1(0);
  epoll_event event{.events = EPOLLIN, .data = {}};
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, pipe.ends[0], &event);
  const auto outcome = frozen_during([&] { return ::epoll_wait(epoll, &event, 1, -1); }, [&](pid_t) { pipe.feed(); });
  EXPECT_EQ(outcome.result, 1) << std::strerror(outcome.error);
  ::close(epoll);
}

// With a limit the kernel gives EINTR, as after any stop, and the caller computes the rest: a restart would begin anew.
TEST(FreezeRestarts, EpollWithALimitIsNeverLengthened) {
  Pipe pipe;
  const int epoll = ::epoll_create1(0);
  epoll_event event{.events = EPOLLIN, .data = {}};
  ::epoll_ctl(epoll, EPOLL_CTL_ADD, pipe.ends[0], &event);
  const auto outcome = frozen_during([&] { return ::epoll_wait(epoll, &event, 1, 800); });
  EXPECT_TRUE(outcome.result == 0 || outcome.error == EINTR);
  EXPECT_LT(outcome.lasted, milliseconds(1300));
  ::close(epoll);
}

TEST(FreezeRestarts, Receive) {
  int ends[2] = {};
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  char byte = 0;
  const auto outcome = frozen_during([&] { return ::recv(ends[0], &byte, 1, 0); },
                                     [&](pid_t) { EXPECT_EQ(::send(ends[1], "x", 1, 0), 1); });
  EXPECT_EQ(outcome.result, 1);
  const timeval limit{0, 800'000};
  ::setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
  const auto timed = frozen_during([&] { return ::recv(ends[0], &byte, 1, 0); });
  EXPECT_EQ(timed.result, -1);
  EXPECT_TRUE(timed.error == EAGAIN || timed.error == EINTR);
  EXPECT_LT(timed.lasted, milliseconds(1300));
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(FreezeRestarts, EndlessSigtimedwait) {
  const auto outcome = frozen_during(
      [] {
        sigset_t set;
        sigemptyset(&set);
        sigaddset(&set, SIGUSR2);
        ::sigprocmask(SIG_BLOCK, &set, nullptr);
        return ::sigwaitinfo(&set, nullptr);
      },
      [](pid_t pid) { ::kill(pid, SIGUSR2); });
  EXPECT_EQ(outcome.result, SIGUSR2) << std::strerror(outcome.error);
}

TEST(FreezeRestarts, Futex) {
  static int word = 0;
  const timespec limit{0, 800'000'000};
  const auto outcome = frozen_during([&] { return ::syscall(SYS_futex, &word, FUTEX_WAIT, 0, &limit, nullptr, 0); });
  EXPECT_EQ(outcome.error, ETIMEDOUT);
  EXPECT_GE(outcome.lasted, milliseconds(800));
  EXPECT_LT(outcome.lasted, milliseconds(1300));
}

TEST(FreezeRestarts, PollWithItsOwnSignalMask) {
  Pipe pipe;
  const auto outcome = frozen_during(
      [&] {
        sigset_t none, usr1;
        sigemptyset(&none);
        sigemptyset(&usr1);
        sigaddset(&usr1, SIGUSR1);
        ::sigprocmask(SIG_BLOCK, &usr1, nullptr);
        struct sigaction action {};
        action.sa_handler = [](int) {};
        ::sigaction(SIGUSR1, &action, nullptr);
        pollfd wanted{pipe.ends[0], POLLIN, 0};
        const int result = ::ppoll(&wanted, 1, nullptr, &none);
        const int error = errno;
        sigset_t now;
        ::sigprocmask(SIG_BLOCK, nullptr, &now);
        errno = error;
        return sigismember(&now, SIGUSR1) != 0 ? result : 1000;
      },
      [](pid_t pid) { ::kill(pid, SIGUSR1); });
  EXPECT_EQ(outcome.result, -1);
  EXPECT_EQ(outcome.error, EINTR);
}

}  // namespace
}  // namespace memsnap
