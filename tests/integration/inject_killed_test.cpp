#include <gtest/gtest.h>
#include <sys/wait.h>

#include <random>
#include <string>
#include <thread>

#include "tests/integration/tracked_target.h"

namespace memsnap {
namespace {

// A memsnap that is killed when it is about to do its n-th change, or after `lifetime`. False: it came to its end.
bool killed_at(pid_t target, int n, std::chrono::microseconds lifetime) {
  const pid_t memsnap = ::fork();
  if (memsnap == 0) {
    int steps = 0;
    TrackingSetup setup = test_setup();
    setup.step = [&](std::string_view) {
      if (steps++ == n) ::raise(SIGKILL);
    };
    int status = 1;
    try {
      NullLog log;
      const ProcessId id = ProcessId::open(target);
      do {
        const auto tracking = Tracking::start(id, setup, log);
        tracking->stop();
      } while (n < 0);
      status = 0;
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
    }
    ::_exit(status);
  }
  int status = 0;
  if (n < 0) {
    std::this_thread::sleep_for(lifetime);
    EXPECT_EQ(::waitpid(memsnap, &status, WNOHANG), 0) << "it failed by itself";
    ::kill(memsnap, SIGKILL);
  }
  ::waitpid(memsnap, &status, 0);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  return WIFSIGNALED(status);
}

// Whatever it left is harmless, is found, and is taken out.
void expect_recovery(const ForkedTarget& target, const Fingerprint& before, bool still, int* found) {
  const ProcessId id = ProcessId::open(target.pid());
  ASSERT_TRUE(goes_on(target));
  ASSERT_NE(read_whole("/proc/" + std::to_string(target.pid()) + "/status").find("TracerPid:\t0\n"), std::string::npos);
  TestLog log;
  const auto end = end_left_tracking(id, {}, log);
  *found += end.has_value();
  if (end) {
    ASSERT_EQ(joined(end->left_behind), "") << log.text();
  }
  ASSERT_FALSE(end_left_tracking(id, {}, log).has_value());
  ASSERT_TRUE(goes_on(target));
  ASSERT_EQ(joined(differences(before, take_fingerprint(id, {}), still)), "");
}

TEST(InjectKilled, AtEachStep) {
  ForkedTarget target(tick);
  target.wait_ready();
  ASSERT_TRUE(goes_on(target));
  const Fingerprint before = take_fingerprint(ProcessId::open(target.pid()), {});
  int found = 0;
  int steps = 0;
  for (; steps < 100 && killed_at(target.pid(), steps, {}); ++steps) {
    expect_recovery(target, before, kStill, &found);
    if (HasFatalFailure()) FAIL() << "killed at step " << steps;
  }
  EXPECT_GT(steps, 15);
  EXPECT_LT(steps, 100);
  EXPECT_GT(found, 10);
}

// A step that fails: what was done before it is taken back in the same stop.
TEST(InjectFails, AtEachStepAndTheTargetIsAsBefore) {
  ForkedTarget target(tick);
  target.wait_ready();
  ASSERT_TRUE(goes_on(target));
  const ProcessId id = ProcessId::open(target.pid());
  const Fingerprint before = take_fingerprint(id, {});
  bool started = false;
  int steps = 0;
  for (; steps < 100 && !started; ++steps) {
    int left = steps;
    bool starting = true;
    TrackingSetup setup = test_setup();
    setup.step = [&](std::string_view step) {
      if (starting && left-- == 0) throw Error(ExitCode::kGaveUp, std::string(step), "");
    };
    TestLog log;
    try {
      const auto tracking = Tracking::start(id, setup, log);
      started = true;
      starting = false;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kGaveUp);
    }
    ASSERT_TRUE(goes_on(target)) << steps;
    ASSERT_EQ(joined(differences(before, take_fingerprint(id, {}), kStill)), "") << steps;
  }
  EXPECT_GT(steps, 12);
  EXPECT_TRUE(started);
}

// At its end nothing is lost either: it goes on from where it failed.
TEST(InjectFails, AtEachStepOfTheEndAndTheNextOneFinishes) {
  ForkedTarget target(tick);
  target.wait_ready();
  ASSERT_TRUE(goes_on(target));
  const ProcessId id = ProcessId::open(target.pid());
  const Fingerprint before = take_fingerprint(id, {});
  bool ended = false;
  int steps = 0;
  for (; steps < 100 && !ended; ++steps) {
    int left = ~0u >> 1;
    TrackingSetup setup = test_setup();
    setup.step = [&](std::string_view step) {
      if (left-- == 0) throw Error(ExitCode::kInternal, std::string(step), "");
    };
    TestLog log;
    const auto tracking = Tracking::start(id, setup, log);
    left = steps;
    try {
      EXPECT_EQ(joined(tracking->stop().left_behind), "") << log.text();
      ended = true;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kInternal);
      EXPECT_EQ(joined(tracking->stop().left_behind), "") << steps << log.text();
    }
    ASSERT_TRUE(goes_on(target)) << steps;
    ASSERT_EQ(joined(differences(before, take_fingerprint(id, {}), kStill)), "") << steps;
  }
  EXPECT_GT(steps, 5);
  EXPECT_TRUE(ended);
}

// What was in it is gone with it: there is nothing that anybody could take out.
TEST(InjectKilled, ATargetThatIsKilledAtAStepOfTheEndHasNothingLeftInIt) {
  bool ended = false;
  int steps = 0;
  for (; steps < 100 && !ended; ++steps) {
    ForkedTarget target(tick);
    target.wait_ready();
    ASSERT_TRUE(goes_on(target));
    const ProcessId id = ProcessId::open(target.pid());
    int left = ~0u >> 1;
    TrackingSetup setup = test_setup();
    setup.step = [&](std::string_view) {
      if (left-- == 0) ::kill(target.pid(), SIGKILL);
    };
    TestLog log;
    const auto tracking = Tracking::start(id, setup, log);
    left = steps;
    EXPECT_EQ(joined(tracking->stop().left_behind), "") << steps << log.text();
    ended = left >= 0;
  }
  EXPECT_GT(steps, 5);
  EXPECT_TRUE(ended);
}

TEST(InjectKilled, AtAnyMomentWhileMallocIsHammered) {
  ForkedTarget target(hammer);
  target.wait_ready();
  ASSERT_TRUE(goes_on(target));
  const Fingerprint before = take_fingerprint(ProcessId::open(target.pid()), {});
  std::mt19937 random(20261121);
  std::uniform_int_distribution<int> lifetime(1000, 150000);
  int found = 0;
  for (std::uint64_t i = 0; i < cycles_wanted(12); ++i) {
    killed_at(target.pid(), -1, std::chrono::microseconds(lifetime(random)));
    expect_recovery(target, before, false, &found);
    if (HasFatalFailure()) FAIL() << "kill " << i;
  }
  EXPECT_GT(found, 0) << "no kill came at a moment at which anything was there";
}

}  // namespace
}  // namespace memsnap
