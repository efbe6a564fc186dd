#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "attach/base/error.h"
#include "attach/process_id.h"
#include "attach/stopped_process.h"
#include "attach/tracer_thread.h"
#include "tests/integration/forked_target.h"

namespace memsnap {
namespace {

std::uint64_t kills_wanted() {
  const char* const wanted = std::getenv("MEMSNAP_KILLS");
  return wanted == nullptr ? 40 : std::strtoull(wanted, nullptr, 10);
}

// Checks itself all the time: vector registers, a system call's result, its own children.
void work(TargetNotes& notes, int threads) {
  for (int i = 1; i < threads; ++i) {
    std::thread([&notes] {
      for (;;) {
        ++notes.words[3];
        ::usleep(500);
      }
    }).detach();
  }
  std::vector<std::uint64_t> heap(4u << 20, 1);  // a clone of it takes long enough to be killed in
  notes.ready = 1;
  for (std::uint64_t i = 1;; ++i) {
    std::uint64_t out[4] = {};
    const std::uint64_t in[4] = {i, i * 3, i * 5, i * 7};
    asm volatile(
        "vmovdqu %1, %%ymm9\n\tmov $20000, %%ecx\n"
        "1:\n\tdec %%ecx\n\tjnz 1b\n\tvmovdqu %%ymm9, %0\n\tvzeroupper"
        : "=m"(out)
        : "m"(in)
        : "ecx", "xmm9", "memory");
    for (int k = 0; k < 4; ++k) notes.words[0] += out[k] != in[k];
    const timespec brief{0, 200'000};
    if (::nanosleep(&brief, nullptr) != 0 && errno != EINTR) ++notes.words[0];
    heap[i % heap.size()] += 1;
    ++notes.words[1];
  }
}

// A memsnap that freezes again and again, killed without warning after `lifetime`.
void freeze_until_killed(pid_t target, std::chrono::microseconds lifetime) {
  const pid_t memsnap = ::fork();
  if (memsnap == 0) {
    for (;;) {
      try {
        freeze_now(target);
      } catch (const Error&) {
        ::_exit(1);
      }
    }
  }
  std::this_thread::sleep_for(lifetime);
  int status = 0;
  EXPECT_EQ(::waitpid(memsnap, &status, WNOHANG), 0) << "it failed by itself";
  ::kill(memsnap, SIGKILL);
  ::waitpid(memsnap, &status, 0);
}

void kill_many_times(int threads, std::uint64_t kills) {
  ForkedTarget target([&](TargetNotes& notes) { work(notes, threads); });
  target.wait_ready();
  std::mt19937 random(20261121);
  std::uniform_int_distribution<int> lifetime(300, 40000);

  int left = 0;
  for (std::uint64_t i = 0; i < kills; ++i) {
    freeze_until_killed(target.pid(), std::chrono::microseconds(lifetime(random)));
    const auto before = target.word(1);
    ASSERT_TRUE(ForkedTarget::wait_until([&] { return target.word(1) > before + 2; })) << "kill " << i;
    ASSERT_EQ(target.word(0), 0u) << "kill " << i;
    ASSERT_NE(read_whole("/proc/" + std::to_string(target.pid()) + "/status").find("TracerPid:\t0\n"),
              std::string::npos);
    left += !children_of(target.pid()).empty();
  }

  EXPECT_GT(left, 0) << "no kill came in the middle of a freeze: nothing was tested";
  ForkedTarget::wait_until([&] {  // until the last one is dead
    std::istringstream children(children_of(target.pid()));
    return std::all_of(std::istream_iterator<pid_t>(children), {}, [](pid_t child) { return state_of(child) == 'Z'; });
  });
  EXPECT_TRUE(freeze_now(target.pid())->release().empty());
  EXPECT_EQ(children_of(target.pid()), "");
  const std::string status = read_whole("/proc/" + std::to_string(target.pid()) + "/status");
  EXPECT_NE(status.find("SigBlk:\t0000000000000000"), std::string::npos) << status;
}

TEST(FreezeKilled, TargetGoesOnAndTheNextFreezeReaps) { kill_many_times(1, kills_wanted() / 2); }

TEST(FreezeKilled, TargetWithThreadsGoesOn) { kill_many_times(8, kills_wanted() / 2); }

// A process that sleeps in four threads, and what its parent says of its end. Not ours, as targets are not.
void wait_for_a_child(TargetNotes& notes) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < 3; ++i) std::thread([] { ::pause(); }).detach();
    notes.ready = 1;
    for (;;) ::pause();
  }
  notes.words[0] = static_cast<std::uint64_t>(child);
  ::waitpid(child, nullptr, 0);
  notes.words[1] = 1;
  for (;;) ::pause();
}

// Its tracer lives on, as while a copy of it is walked.
TEST(FreezeKilled, ATargetThatIsKilledWhileItIsHeldEndsAtOnce) {
  const ForkedTarget parent(wait_for_a_child);
  parent.wait_ready();
  ForkedTarget::wait_until([&] { return parent.word(0) != 0; });
  const auto pid = static_cast<pid_t>(parent.word(0));
  const ProcessId id = ProcessId::open(pid);
  TracerThread tracer;
  std::vector<pid_t> left;
  tracer.run([&] {
    StoppedProcess stopped(id, {});
    ASSERT_EQ(stopped.stopped().size(), 4u);
    ::kill(pid, SIGKILL);
    ForkedTarget::wait_until([&] { return thread_state(pid, pid) == 'Z'; });
    left = stopped.release();
  });

  ForkedTarget::wait_until([&] {
    tracer.run([&] { release_stragglers(left); });
    return parent.word(1) == 1;
  });
  EXPECT_TRUE(left.empty());
}

}  // namespace
}  // namespace memsnap
