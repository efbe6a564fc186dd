#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/wait.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "attach/base/error.h"
#include "tests/integration/forked_target.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

void sleep_for_ever(TargetNotes& notes) {
  notes.ready = 1;
  for (;;) ::pause();
}

std::set<std::string> descriptors(pid_t pid) {
  std::set<std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd")) {
    found.insert(entry.path().filename().string() + " " + std::filesystem::read_symlink(entry.path()).string());
  }
  return found;
}

std::string proc(pid_t pid, const char* name) { return read_whole("/proc/" + std::to_string(pid) + "/" + name); }

TEST(Freeze, ChildHasTheMemoryOfThatMoment) {
  static volatile std::uint64_t value;
  value = 1;
  ForkedTarget target([](TargetNotes& notes) {
    value = 0x1234;
    notes.ready = 1;
    while (notes.stop == 0) ::usleep(100);
    value = 0x5678;
    notes.ready = 2;
    for (;;) ::pause();
  });
  target.wait_ready();

  const auto frozen = freeze_now(target.pid());
  target.notes().stop = 1;
  target.wait_ready(2);

  ASSERT_NE(frozen->child(), nullptr);
  EXPECT_EQ(frozen->memory().try_read<std::uint64_t>(reinterpret_cast<std::uint64_t>(&value)), 0x1234u);
  EXPECT_TRUE(frozen->facts().consistent);
  EXPECT_EQ(frozen->facts().threads, 1u);
  EXPECT_EQ(read_whole("/proc/" + std::to_string(frozen->child()->pid()) + "/comm"), "memsnap-frozen\n");
  EXPECT_EQ(read_whole("/proc/" + std::to_string(frozen->child()->pid()) + "/oom_score_adj"), "1000\n");
  EXPECT_TRUE(frozen->release().empty());
  EXPECT_EQ(children_of(target.pid()), "");
}

std::size_t private_kilobytes(pid_t pid) {
  const std::string rollup = proc(pid, "smaps_rollup");
  const auto value = [&](const std::string& name) {
    return std::stoul(rollup.substr(rollup.find(name) + name.size()));
  };
  return value("Private_Clean:") + value("Private_Dirty:");  // a page copied for a reader is clean
}

// A page that is copied for the reader counts against the target's memory limit.
TEST(Freeze, ReadingTheChildCopiesNoPages) {
  constexpr std::size_t kSize = 64u << 20;
  ForkedTarget target([](TargetNotes& notes) {
    auto* const block = static_cast<char*>(std::aligned_alloc(4096, kSize));
    ::madvise(block, kSize, MADV_NOHUGEPAGE);
    std::memset(block, 'x', kSize);
    notes.words[0] = reinterpret_cast<std::uint64_t>(block);
    notes.ready = 1;
    for (;;) ::pause();
  });
  target.wait_ready();

  const auto frozen = freeze_now(target.pid());
  ASSERT_NE(frozen->child(), nullptr);
  std::vector<std::byte> bytes(kSize);
  ASSERT_TRUE(frozen->memory().copy(target.word(0), bytes));

  EXPECT_EQ(bytes.back(), std::byte{'x'});
  EXPECT_LT(private_kilobytes(frozen->child()->pid()), 4096u);
}

// What it shares with the process that it was forked from, as the workers of a server do.
TEST(Freeze, ReadingARunningOrStoppedTargetCopiesNoPages) {
  constexpr std::size_t kSize = 64u << 20;
  void* const block = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ::madvise(block, kSize, MADV_NOHUGEPAGE);
  std::memset(block, 'x', kSize);
  {
    ForkedTarget target(sleep_for_ever);
    target.wait_ready();
    for (const Method method : {Method::kStop, Method::kRead}) {
      const auto frozen = freeze_now(target.pid(), method);
      std::vector<std::byte> bytes(kSize);
      ASSERT_TRUE(frozen->memory().copy(reinterpret_cast<std::uint64_t>(block), bytes));
      EXPECT_EQ(bytes.back(), std::byte{'x'});
      EXPECT_LT(private_kilobytes(target.pid()), 16384u);
    }
  }
  ::munmap(block, kSize);
}

TEST(Freeze, QuietTargetIsTheSameAfterwards) {
  ForkedTarget target(sleep_for_ever);
  target.wait_ready();
  const auto fds = descriptors(target.pid());
  const std::string maps = proc(target.pid(), "maps");

  for (int i = 0; i < 20; ++i) EXPECT_TRUE(freeze_now(target.pid())->release().empty());

  EXPECT_EQ(descriptors(target.pid()), fds);
  EXPECT_EQ(proc(target.pid(), "maps"), maps);
  EXPECT_EQ(children_of(target.pid()), "");
  ForkedTarget::wait_until([&] { return state_of(target.pid()) == 'S'; });
}

TEST(Freeze, TargetSeesNoChildAndNoSignal) {
  static std::atomic<int>* seen;
  ForkedTarget target([](TargetNotes& notes) {
    seen = &notes.stop;
    for (int number = 1; number < 65; ++number) {
      struct sigaction action {};
      action.sa_handler = [](int) { ++*seen; };
      if (number != SIGKILL && number != SIGSTOP && number != SIGSEGV) ::sigaction(number, &action, nullptr);
    }
    notes.ready = 1;
    for (;;) {
      if (::waitpid(-1, nullptr, WNOHANG) >= 0 || errno != ECHILD) ++notes.words[0];
      ++notes.words[1];
    }
  });
  target.wait_ready();

  for (int i = 0; i < 30; ++i) freeze_now(target.pid());

  EXPECT_EQ(target.notes().stop, 0);
  EXPECT_EQ(target.word(0), 0u);
  const auto before = target.word(1);
  ForkedTarget::wait_until([&] { return target.word(1) > before; });
}

TEST(Freeze, SeveralHundredThreadsAllStop) {
  ForkedTarget target([](TargetNotes& notes) {
    for (int i = 0; i < 200; ++i) {
      std::thread([&notes, i] {
        ++notes.ready;
        for (;;) {
          ++notes.words[static_cast<std::size_t>(i) % 64];
          if (i % 20 != 0) ::usleep(1000);
        }
      }).detach();
    }
    for (;;) ::pause();
  });
  target.wait_ready(200);

  for (int i = 0; i < 5; ++i) {
    const auto frozen = freeze_now(target.pid());
    EXPECT_EQ(frozen->facts().threads, 201u);
    EXPECT_EQ(frozen->facts().threads_not_stopped, 0u);
  }

  const auto before = target.word(1);
  ForkedTarget::wait_until([&] { return target.word(1) > before; });
}

TEST(Freeze, ThreadsThatComeAndGo) {
  ForkedTarget target([](TargetNotes& notes) {
    notes.ready = 1;
    for (;;) {
      std::thread([&notes] { ++notes.words[0]; }).join();
    }
  });
  target.wait_ready();

  for (int i = 0; i < 50; ++i) EXPECT_TRUE(freeze_now(target.pid())->release().empty());

  const auto before = target.word(0);
  ForkedTarget::wait_until([&] { return target.word(0) > before; });
}

TEST(Freeze, VectorRegistersSurvive) {
  ForkedTarget target([](TargetNotes& notes) {
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
      ++notes.words[1];
    }
  });
  target.wait_ready();

  for (int i = 0; i < 100; ++i) freeze_now(target.pid());

  EXPECT_EQ(target.word(0), 0u);
  const auto before = target.word(1);
  ForkedTarget::wait_until([&] { return target.word(1) > before; });
}

TEST(Freeze, PipeEndsWhileTheChildLives) {
  int ends[2] = {};
  ASSERT_EQ(::pipe(ends), 0);
  ForkedTarget target([&](TargetNotes& notes) {
    ::close(ends[0]);
    notes.ready = 1;
    while (notes.stop == 0) ::usleep(100);
    ::close(ends[1]);
    for (;;) ::pause();
  });
  ::close(ends[1]);
  target.wait_ready();

  const auto frozen = freeze_now(target.pid());
  target.notes().stop = 1;

  pollfd end{ends[0], POLLIN, 0};
  EXPECT_EQ(::poll(&end, 1, 2000), 1);
  EXPECT_NE(end.revents & POLLHUP, 0);
  ::close(ends[0]);
}

TEST(Freeze, ChildEndsSoonAfterTheTargetExits) {
  ForkedTarget target([](TargetNotes& notes) {
    notes.ready = 1;
    while (notes.stop == 0) ::usleep(100);
  });
  target.wait_ready();
  const auto frozen = freeze_now(target.pid());
  const pid_t child = frozen->child()->pid();

  target.notes().stop = 1;
  EXPECT_EQ(target.wait_end(), 0);
  const auto begin = steady_clock::now();
  ForkedTarget::wait_until([&] { return state_of(child) == 'Z' || state_of(child) == 'X'; });

  EXPECT_LT(steady_clock::now() - begin, milliseconds(100));
  EXPECT_TRUE(frozen->release().empty());
}

TEST(Freeze, ChildEndsSoonAfterTheTargetExecs) {
  ForkedTarget target([](TargetNotes& notes) {
    notes.ready = 1;
    while (notes.stop == 0) ::usleep(100);
    ::execl("/bin/sleep", "sleep", "100", nullptr);
  });
  target.wait_ready();
  const auto frozen = freeze_now(target.pid());
  const pid_t child = frozen->child()->pid();

  target.notes().stop = 1;
  ForkedTarget::wait_until([&] { return read_whole("/proc/" + std::to_string(target.pid()) + "/comm") == "sleep\n"; });
  const auto begin = steady_clock::now();
  ForkedTarget::wait_until([&] { return state_of(child) == 'Z' || state_of(child) == 'X'; });

  EXPECT_LT(steady_clock::now() - begin, milliseconds(100));
  EXPECT_TRUE(frozen->release().empty());
  EXPECT_EQ(children_of(target.pid()), "");
}

// In a system call, with `room` bytes below its stack pointer and another mapping of its own below those.
[[noreturn]] void wait_on_short_stack(TargetNotes& notes, std::size_t room) {
  constexpr std::size_t kSize = 1u << 20;
  char* const below =
      static_cast<char*>(::mmap(nullptr, 2 * kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ::mprotect(below, kSize, PROT_NONE);
  ::memset(below + kSize, 0x5a, kSize);
  notes.words[1] = reinterpret_cast<std::uint64_t>(below + kSize);
  notes.ready = 1;
  asm volatile(
      "mov %0, %%rsp\n"
      "1:\n\tmov $34, %%eax\n\tsyscall\n"  // pause
      "\tlock incq (%1)\n\tjmp 1b"
      :
      : "r"(below + kSize + room), "r"(&notes.words[0])
      : "memory");
  __builtin_unreachable();
}

TEST(Freeze, StackThatIsNearlyFull) {
  ForkedTarget target([](TargetNotes& notes) { wait_on_short_stack(notes, 1024); });
  target.wait_ready();
  const std::string maps = proc(target.pid(), "maps");

  for (int i = 0; i < 10; ++i) {
    const auto frozen = freeze_now(target.pid());
    ASSERT_NE(frozen->child(), nullptr);
    EXPECT_TRUE(frozen->release().empty());
  }

  EXPECT_EQ(proc(target.pid(), "maps"), maps);
  EXPECT_EQ(target.word(0), 0u);
}

TEST(Freeze, StackWithoutAnyRoomIsLeftAlone) {
  ForkedTarget target([](TargetNotes& notes) { wait_on_short_stack(notes, 128); });
  target.wait_ready();

  EXPECT_THROW(freeze_now(target.pid()), Error);

  const auto copied = freeze_now(target.pid(), Method::kAuto);
  EXPECT_EQ(copied->facts().method, Method::kStop);
  EXPECT_NE(copied->facts().fallback_reason.find("no room on its stack"), std::string::npos);
  EXPECT_EQ(copied->memory().try_read<std::uint64_t>(target.word(1)), 0x5a5a5a5a5a5a5a5aull);
  ForkedTarget::wait_until([&] { return state_of(target.pid()) == 'S'; });
}

}  // namespace
}  // namespace memsnap
