#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <sys/time.h>

#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "attach/stopped_process.h"
#include "attach/tracer_thread.h"
#include "inject/control/patches.h"
#include "tests/integration/tracked_target.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;

double ms(std::chrono::nanoseconds time) { return static_cast<double>(time.count()) / 1e6; }

// Attaches and detaches; nothing may be left, and the target must do its work all the time.
void cycle_many_times(const ForkedTarget& target, std::uint64_t cycles) {
  const ProcessId id = ProcessId::open(target.pid());
  const Fingerprint before = take_fingerprint(id, {});
  ASSERT_FALSE(before.function_words.empty());
  std::vector<double> took, stopped, unload;
  for (std::uint64_t cycle = 0; cycle < cycles; ++cycle) {
    TestLog log;
    const auto tracking = Tracking::start(id, test_setup(), log);
    took.push_back(ms(tracking->facts().took));
    stopped.push_back(ms(tracking->facts().pause));
    ASSERT_GT(tracking->facts().patches, 0u);
    EXPECT_EQ(tracking->facts().tid_offset, 0x2d0u);
    ASSERT_TRUE(counts(*tracking)) << cycle;
    EXPECT_EQ(tracking->renew_lease(), Tracking::Health::kGood);
    const TrackingEnd end = tracking->stop();
    unload.push_back(ms(end.unhook_pause + end.proof_pause + end.unmap_pause));
    ASSERT_EQ(joined(end.left_behind), "") << cycle << "\n" << log.text();
    ASSERT_EQ(joined(differences(before, take_fingerprint(id, {}), false)), "") << cycle;
    ASSERT_TRUE(goes_on(target)) << cycle;
  }
  for (auto* const times : {&took, &stopped, &unload}) std::sort(times->begin(), times->end());
  std::printf("p50 of %zu: start %.1f ms, stopped for it %.1f ms, for the end %.1f ms\n", took.size(),
              took[took.size() / 2], stopped[took.size() / 2], unload[took.size() / 2]);
}

TEST(InjectCycle, HammeredMallocIsHookedAndLetGo) {
  ForkedTarget target(hammer);
  target.wait_ready();
  cycle_many_times(target, cycles_wanted(12));
}

TEST(InjectCycle, CalmTargetIsExactlyAsBefore) {
  ForkedTarget target(tick);
  target.wait_ready();
  ASSERT_TRUE(goes_on(target));
  const ProcessId id = ProcessId::open(target.pid());
  const Fingerprint before = take_fingerprint(id, {});
  cycle_many_times(target, cycles_wanted(12));
  EXPECT_EQ(joined(differences(before, take_fingerprint(id, {}), kStill)), "");
}

TEST(InjectCycle, FingerprintSeesAnAgent) {
  ForkedTarget target(tick);
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  const Fingerprint before = take_fingerprint(id, {});
  TestLog log;
  const auto tracking = Tracking::start(id, test_setup(), log);
  const std::string found = joined(differences(before, take_fingerprint(id, {}), false));
  EXPECT_NE(found.find("new mapping"), std::string::npos);
  EXPECT_NE(found.find("word at"), std::string::npos);
}

// Without the proof the same work kills the target: so the tests above would notice.
TEST(InjectCycle, TakenOutAtOnceItWouldKillTheTarget) {
  ForkedTarget target(hammer);
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  int cycle = 0;
  const auto is_dead = [&] { return state_of(target.pid()) == 'Z' || state_of(target.pid()) == 'X'; };
  for (; cycle < 200 && !is_dead(); ++cycle) {
    try {
      TestLog log;
      const auto tracking = Tracking::start(id, test_setup(), log);
      ::usleep(3000);
      const WritableMemory memory(target.pid());
      const MemoryMap map = MemoryMap::of(target.pid());
      std::vector<AgentPatch> patches = hooked_words(target.pid(), map, memory, tracking->facts().place.image_begin,
                                                     AgentImage::parse(stand_in_agent()));
      std::string why;
      const auto gadgets = find_gadgets(map, memory);
      TracerThread tracer;  // when it ends, so does its hold on threads that die
      tracer.run([&] {
        StoppedProcess stopped(id, {});
        const auto thread = borrow_thread(target.pid(), stopped.stopped(), map, *gadgets, &why);
        if (!thread) return;
        EXPECT_TRUE(undo_patches(memory, patches, 0));
        EXPECT_TRUE(unmap_agent(*thread, tracking->facts().place, true, &why)) << why;
        thread->restore();
      });
      ::usleep(3000);
    } catch (const Error&) {  // it died meanwhile
    }
  }
  EXPECT_TRUE(is_dead()) << "after " << cycle << " cycles";
}

void count_alarm(int) {}

TEST(InjectCycle, AlarmsAndThreadsThatComeAndGo) {
  ForkedTarget target([](TargetNotes& notes) {
    ::signal(SIGALRM, count_alarm);
    const itimerval every{{0, 1000}, {0, 1000}};
    ::setitimer(ITIMER_REAL, &every, nullptr);
    notes.ready = 1;
    for (;;) {
      std::vector<std::thread> threads;
      for (int i = 0; i < 4; ++i) {
        threads.emplace_back([&notes] {
          for (int k = 0; k < 200; ++k) use_malloc(static_cast<std::size_t>(k) * 7 + 1);
          ++notes.words[1];
        });
      }
      for (std::thread& thread : threads) thread.join();
    }
  });
  target.wait_ready();
  cycle_many_times(target, cycles_wanted(12));
}

TEST(InjectCycle, StoppedTargetStaysStopped) {
  ForkedTarget target(hammer);
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  const auto reported = [&] {
    siginfo_t info{};
    ::waitid(P_PID, static_cast<id_t>(target.pid()), &info, WSTOPPED | WCONTINUED | WNOHANG);
    return info.si_pid;
  };
  const auto is_stopped = [&] { return state_of(target.pid()) == 'T'; };
  for (int i = 0; i < 4; ++i) {  // most times it is stopped inside malloc
    ::kill(target.pid(), SIGSTOP);
    ASSERT_TRUE(ForkedTarget::wait_until([&] { return reported() == target.pid(); }));  // all of its threads
    TestLog log;
    const auto tracking = Tracking::start(id, test_setup(), log);
    EXPECT_TRUE(ForkedTarget::wait_until(is_stopped));
    EXPECT_EQ(reported(), 0);
    const TrackingEnd end = tracking->stop();
    EXPECT_EQ(joined(end.left_behind), "") << log.text();
    EXPECT_TRUE(ForkedTarget::wait_until(is_stopped));
    EXPECT_EQ(reported(), 0);
    ::kill(target.pid(), SIGCONT);
    EXPECT_TRUE(goes_on(target));
    reported();
  }
}

// glibc's main_arena: its lock is its first word, and `next` leads to itself when it is the only one.
int* find_arena_lock() {
  constexpr std::size_t kNext = 2160;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (line.find("libc") == std::string::npos || line.find(" rw-p") == std::string::npos) continue;
    char* rest = nullptr;
    const std::uint64_t begin = std::strtoull(line.c_str(), &rest, 16);
    const std::uint64_t end = std::strtoull(rest + 1, nullptr, 16);
    for (std::uint64_t at = begin; at + kNext + 8 <= end; at += 8) {
      if (*reinterpret_cast<std::uint64_t*>(at + kNext) == at) return reinterpret_cast<int*>(at);
    }
  }
  return nullptr;
}

TEST(InjectCycle, LockOfTheArenaHeldForEver) {
  ForkedTarget target([](TargetNotes& notes) {
    ::mallopt(M_ARENA_MAX, 1);
    std::thread([] { ::pause(); }).detach();  // while there is one thread only, malloc takes no lock
    int* const lock = find_arena_lock();
    notes.words[5] = reinterpret_cast<std::uint64_t>(lock);
    notes.ready = 1;
    if (lock == nullptr) ::_exit(7);
    __atomic_store_n(lock, 2, __ATOMIC_SEQ_CST);
    ++notes.words[1];
    notes.words[2] = reinterpret_cast<std::uint64_t>(std::malloc(100000));
    notes.words[1] += 100;
    tick(notes);
  });
  target.wait_ready();
  if (target.word(5) == 0) GTEST_SKIP() << "malloc has several arenas already: this test is to run alone";
  ASSERT_TRUE(ForkedTarget::wait_until([&] { return state_of(target.pid()) == 'S'; }));
  const ProcessId id = ProcessId::open(target.pid());
  for (int i = 0; i < 3; ++i) {
    TestLog log;
    const auto tracking = Tracking::start(id, test_setup(), log);
    EXPECT_LT(tracking->facts().took, std::chrono::seconds(1));
    const TrackingEnd end = tracking->stop();
    EXPECT_EQ(joined(end.left_behind), "") << log.text();
  }
  EXPECT_EQ(target.word(2), 0u) << "it was never stuck";

  const WritableMemory memory(target.pid());
  ASSERT_TRUE(memory.write_value(target.word(5), int{0}));
  ::kill(target.pid(), SIGSTOP);  // a stop ends its futex wait, which then looks at the lock again
  ::kill(target.pid(), SIGCONT);
  EXPECT_TRUE(ForkedTarget::wait_until([&] { return target.word(2) != 0; }));
  EXPECT_TRUE(goes_on(target));
}

TEST(InjectCycle, DeadlockedTarget) {
  ForkedTarget target([](TargetNotes& notes) {
    static std::mutex first, second;
    std::thread other([&] {
      const std::lock_guard a(second);
      notes.ready += 1;
      while (notes.ready < 2) ::usleep(100);
      const std::lock_guard b(first);
    });
    const std::lock_guard a(first);
    notes.ready += 1;
    while (notes.ready < 2) ::usleep(100);
    const std::lock_guard b(second);
  });
  target.wait_ready(2);
  ::usleep(20000);
  const ProcessId id = ProcessId::open(target.pid());
  const Fingerprint before = take_fingerprint(id, {});
  TestLog log;
  const auto tracking = Tracking::start(id, test_setup(), log);
  EXPECT_LT(tracking->facts().took, std::chrono::seconds(1));
  EXPECT_EQ(joined(tracking->stop().left_behind), "") << log.text();
  EXPECT_EQ(joined(differences(before, take_fingerprint(id, {}), kStill)), "");
}

}  // namespace
}  // namespace memsnap
