#include "snapshot/threads/waits.h"

#include <gtest/gtest.h>

#include "snapshot/threads/system_calls.h"

namespace memsnap {
namespace {

SeenThread waiting(pid_t tid, pid_t owner, WaitKind kind = WaitKind::kLock, bool endless = true) {
  SeenThread thread;
  thread.task.tid = tid;
  thread.wait = {.kind = kind, .text = "lock", .owner = owner, .endless = endless};
  return thread;
}

using Circles = std::vector<std::vector<std::int32_t>>;

TEST(Deadlocks, ACircleOfOwnersIsOne) {
  const Deadlocks found = find_deadlocks({waiting(1, 2), waiting(2, 3), waiting(3, 1), waiting(4, 1)});

  EXPECT_EQ(found.circles, (Circles{{1, 2, 3}}));
  EXPECT_TRUE(found.all_wait);
}

TEST(Deadlocks, AChainIsNone) {
  const Deadlocks found = find_deadlocks({waiting(1, 2), waiting(2, 3), waiting(3, 0, WaitKind::kRuns, false)});

  EXPECT_TRUE(found.circles.empty());
  EXPECT_FALSE(found.all_wait);
}

TEST(Deadlocks, AWaitWithATimeLimitEnds) {
  const Deadlocks found = find_deadlocks({waiting(1, 2), waiting(2, 1, WaitKind::kLock, false)});

  EXPECT_TRUE(found.circles.empty());
  EXPECT_FALSE(found.all_wait);
}

TEST(Deadlocks, HoldingTheGilWhileWaitingForOneWhoWantsIt) {
  const Deadlocks found = find_deadlocks({waiting(1, 2), waiting(2, 1, WaitKind::kGil, false)});

  EXPECT_EQ(found.circles, (Circles{{1, 2}}));
}

TEST(Deadlocks, AThreadCanWaitForItself) {
  EXPECT_EQ(find_deadlocks({waiting(1, 1), waiting(2, 1)}).circles, (Circles{{1}}));
}

TEST(Deadlocks, TwoCirclesAreTwo) {
  const auto circles = find_deadlocks({waiting(1, 2), waiting(2, 1), waiting(3, 4), waiting(4, 3)}).circles;

  EXPECT_EQ(circles, (Circles{{1, 2}, {3, 4}}));
}

TEST(Deadlocks, LocksWithoutOwnersMayBeOne) {
  const Deadlocks found = find_deadlocks({waiting(1, 0), waiting(2, 0)});

  EXPECT_TRUE(found.circles.empty());
  EXPECT_TRUE(found.all_wait);
  EXPECT_FALSE(find_deadlocks({}).all_wait);
}

TEST(SystemCalls, AreCalledByTheirNames) {
  EXPECT_EQ(system_call_name(0), "read");
  EXPECT_EQ(system_call_name(202), "futex");
  EXPECT_EQ(system_call_name(334), "rseq");
  EXPECT_EQ(system_call_name(424), "pidfd_send_signal");
  EXPECT_EQ(system_call_name(441), "epoll_pwait2");
  EXPECT_EQ(system_call_name(335), "system call 335");
  EXPECT_EQ(system_call_name(-1), "system call -1");
  EXPECT_TRUE(takes_descriptor(0));
  EXPECT_FALSE(takes_descriptor(202));
}

}  // namespace
}  // namespace memsnap
