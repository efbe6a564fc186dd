#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "tests/integration/tracked_target.h"

namespace memsnap {
namespace {

// Forks children that allocate, as a server with preloaded workers does; one of them forks again, one runs a program.
void fork_workers(TargetNotes& notes) {
  const auto work = [&notes](std::size_t index) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    notes.words[20 + index] = static_cast<std::uint64_t>(::getpid());
    if (index == 2 && ::fork() == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      notes.words[23] = static_cast<std::uint64_t>(::getpid());
      index = 3;
    }
    ++notes.ready;
    for (;;) {
      use_malloc(100);
      ::usleep(300);
      ++notes.words[10 + index];
    }
  };
  notes.ready = 1;
  tick_until(notes, 1);
  for (std::size_t i = 0; i < 3; ++i) {
    if (::fork() == 0) work(i);
  }
  const pid_t program = ::fork();
  if (program == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::execlp("sleep", "sleep", "100", nullptr);
  }
  notes.words[24] = static_cast<std::uint64_t>(program);
  tick_until(notes, 9);
}

TEST(InjectForks, ForkedChildrenAreCleanedToo) {
  ForkedTarget target(fork_workers);
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  TestLog log;
  const auto tracking = Tracking::start(id, test_setup(), log);
  target.notes().stop = 1;
  target.wait_ready(5);
  ASSERT_TRUE(ForkedTarget::wait_until([&] { return target.word(10) > 3 && target.word(13) > 3; }));
  const auto children = tracked_descendants(target.pid(), tracking->facts().place, id.start_time());
  EXPECT_EQ(children.size(), 4u);
  const auto own = counters(*tracking).allocations;
  EXPECT_TRUE(goes_on(target, 10));
  EXPECT_LT(counters(*tracking).allocations, own + 1000);

  const TrackingEnd end = tracking->stop();
  EXPECT_EQ(joined(end.left_behind), "") << log.text();
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(goes_on(target, 10 + i));
    EXPECT_TRUE(find_agents(static_cast<pid_t>(target.word(20 + i))).empty());
  }
  EXPECT_TRUE(find_agents(target.pid()).empty());
  ::kill(static_cast<pid_t>(target.word(24)), SIGKILL);
}

TEST(InjectForks, ForkedChildrenAreFoundAfterMemsnapWasKilled) {
  ForkedTarget target(fork_workers);
  target.wait_ready();
  const pid_t memsnap = ::fork();
  if (memsnap == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    NullLog log;
    const ProcessId id = ProcessId::open(target.pid());
    const auto tracking = Tracking::start(id, test_setup(), log);
    target.notes().words[30] = 1;
    for (;;) ::pause();
  }
  ASSERT_TRUE(ForkedTarget::wait_until([&] { return target.word(30) == 1; }));
  target.notes().stop = 1;
  target.wait_ready(5);
  ::kill(memsnap, SIGKILL);
  ::waitpid(memsnap, nullptr, 0);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(find_agents(static_cast<pid_t>(target.word(20 + i))).size(), 1u);

  expect_all_gone(target);

  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_TRUE(goes_on(target, 10 + i));
    EXPECT_TRUE(find_agents(static_cast<pid_t>(target.word(20 + i))).empty());
  }
  EXPECT_TRUE(goes_on(target));
  ::kill(static_cast<pid_t>(target.word(24)), SIGKILL);
}

// Its parent is gone, and with it the journal: the words are found by what they hold.
TEST(InjectForks, ChildWhoseParentIsGone) {
  ForkedTarget target([](TargetNotes& notes) {
    notes.ready = 1;
    tick_until(notes, 1);
    if (::fork() == 0) {
      notes.words[20] = static_cast<std::uint64_t>(::getpid());
      notes.ready = 2;
      tick_until(notes, 9);
      ::_exit(0);
    }
    ::usleep(100000);
    ::_exit(0);
  });
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  TestLog log;
  auto tracking = Tracking::start(id, test_setup(), log);
  target.notes().stop = 1;
  target.wait_ready(2);
  target.wait_end();
  const auto child = static_cast<pid_t>(target.word(20));
  ASSERT_EQ(find_agents(child).size(), 1u);
  const TrackingEnd end = tracking->stop();
  EXPECT_EQ(joined(end.left_behind), "") << log.text();
  EXPECT_TRUE(find_agents(child).empty());
  EXPECT_TRUE(goes_on(target));
  target.notes().stop = 9;
}

TEST(InjectForks, TargetThatReplacedItsProgram) {
  ForkedTarget target([](TargetNotes& notes) {
    notes.ready = 1;
    tick_until(notes, 1);
    ::execlp("sleep", "sleep", "100", nullptr);
  });
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  TestLog log;
  const auto tracking = Tracking::start(id, test_setup(), log);
  EXPECT_TRUE(counts(*tracking));
  target.notes().stop = 1;
  ASSERT_TRUE(ForkedTarget::wait_until([&] { return tracking->renew_lease() == Tracking::Health::kGone; }));
  EXPECT_EQ(tracking->poll_new_libraries(true), 0u);
  EXPECT_GT(counters(*tracking).allocations, 0u);
  EXPECT_EQ(joined(tracking->stop().left_behind), "") << log.text();
  EXPECT_TRUE(find_agents(target.pid()).empty());
}

TEST(InjectForks, TargetThatEnded) {
  ForkedTarget target([](TargetNotes& notes) {
    notes.ready = 1;
    tick_until(notes, 1);
  });
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  TestLog log;
  const auto tracking = Tracking::start(id, test_setup(), log);
  EXPECT_TRUE(counts(*tracking));
  target.notes().stop = 1;
  target.wait_end();
  EXPECT_EQ(tracking->renew_lease(), Tracking::Health::kGone);
  EXPECT_EQ(tracking->poll_new_libraries(true), 0u);
  EXPECT_GT(counters(*tracking).allocations, 0u);
  EXPECT_EQ(joined(tracking->stop().left_behind), "") << log.text();
}

}  // namespace
}  // namespace memsnap
