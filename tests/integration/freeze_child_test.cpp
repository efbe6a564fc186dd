#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "attach/base/error.h"
#include "tests/integration/forked_target.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;
using Kind = ChildStop::Kind;

// Code that a tp_traverse might contain. It lies at the same addresses in the target, and so in its child.
void trap(std::uint64_t times) {
  for (std::uint64_t i = 0; i < times; ++i) asm volatile("int3");
  for (;;) asm volatile("int3");
}
void write_to_pipe(std::uint64_t descriptor) {
  [[maybe_unused]] const auto written = ::write(static_cast<int>(descriptor), "x", 1);
  asm volatile("int3");
}
void give_up(std::uint64_t) { std::abort(); }
void loop(std::uint64_t) {
  for (;;) asm volatile("");
}
void map_for_ever(std::uint64_t) {
  for (;;) ::munmap(::mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
}
void fault(std::uint64_t address) { *reinterpret_cast<volatile char*>(address) = 1; }
[[gnu::noinline]] std::uint64_t overflow(std::uint64_t depth) {
  volatile char page[4096];
  page[0] = static_cast<char>(depth);
  const std::uint64_t below = depth == 0 ? 0 : overflow(depth - 1);
  return below + static_cast<std::uint64_t>(page[0]);
}
void allocate(std::uint64_t size) {
  void* const volatile got = std::malloc(size);
  if (got != nullptr) std::memset(got, 1, size);
  std::free(got);
  asm volatile("int3");
}
void old_style_call(std::uint64_t) {
  asm volatile("mov $9, %%eax\n\tint $0x80\n\tint3" ::: "eax", "memory");  // 9: link there, mmap here
}

struct FrozenTarget {
  explicit FrozenTarget(const std::function<void(TargetNotes&)>& before = {})
      : target([&](TargetNotes& notes) {
          if (before) before(notes);
          notes.ready = 1;
          for (;;) ::pause();
        }) {
    target.wait_ready();
    frozen = freeze_now(target.pid());
    stack = child().map(kStack, false) + kStack;
  }
  FrozenChild& child() const { return *frozen->child(); }
  void prepare(void (*entry)(std::uint64_t), std::uint64_t argument) const {
    child().prepare_call(reinterpret_cast<std::uint64_t>(entry), argument, stack);
  }
  ChildStop run(void (*entry)(std::uint64_t), std::uint64_t argument, milliseconds slice = milliseconds(5000)) const {
    prepare(entry, argument);
    return child().resume(slice);
  }
  static constexpr std::size_t kStack = 64u << 10;
  ForkedTarget target;
  std::unique_ptr<FrozenProcess> frozen;
  std::uint64_t stack = 0;
};

TEST(FrozenChild, TrapsAndGoesOn) {
  const FrozenTarget frozen;
  frozen.prepare(trap, 5);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(frozen.child().resume(milliseconds(5000)).kind, Kind::kTrap);
  frozen.child().resume_async();
  EXPECT_EQ(frozen.child().wait(milliseconds(5000)).kind, Kind::kTrap);
}

TEST(FrozenChild, WriteIsNotLetThrough) {
  int ends[2] = {};
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK), 0);
  const FrozenTarget frozen;
  const auto stop = frozen.run(write_to_pipe, static_cast<std::uint64_t>(ends[1]));
  EXPECT_EQ(stop.kind, Kind::kSystemCall);
  EXPECT_EQ(stop.system_call, 1);
  EXPECT_EQ(frozen.child().resume(milliseconds(5000)).kind, Kind::kTrap);
  char byte = 0;
  EXPECT_EQ(::read(ends[0], &byte, 1), -1);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST(FrozenChild, AbortIsReported) {
  const FrozenTarget frozen;
  EXPECT_EQ(frozen.run(give_up, 0).kind, Kind::kSystemCall);
  EXPECT_EQ(frozen.run(trap, 1).kind, Kind::kTrap);
}

TEST(FrozenChild, LoopEndsAtTheDeadline) {
  const FrozenTarget frozen;
  EXPECT_EQ(frozen.run(loop, 0, milliseconds(100)).kind, Kind::kDeadline);
  EXPECT_EQ(frozen.run(map_for_ever, 0, milliseconds(100)).kind, Kind::kDeadline);
  EXPECT_GT(frozen.child().cpu_ms(), 1);  // how much of its slices it got is the machine's affair
  EXPECT_EQ(frozen.run(trap, 1).kind, Kind::kTrap);
}

TEST(FrozenChild, FaultNamesTheAddress) {
  const FrozenTarget frozen;
  const auto stop = frozen.run(fault, 0x1238);
  EXPECT_EQ(stop.kind, Kind::kSignal);
  EXPECT_EQ(stop.signal, SIGSEGV);
  EXPECT_EQ(stop.fault_address, 0x1238u);
  EXPECT_EQ(frozen.run(fault, 0x1238).kind, Kind::kSignal);
  EXPECT_EQ(frozen.run(trap, 1).kind, Kind::kTrap);
}

TEST(FrozenChild, StackOverflowIsReported) {
  const FrozenTarget frozen([](TargetNotes&) {});
  const auto stop = frozen.run([](std::uint64_t depth) { overflow(depth); }, 1u << 20);
  EXPECT_EQ(stop.kind, Kind::kSignal);
  EXPECT_EQ(stop.signal, SIGSEGV);
}

TEST(FrozenChild, AllocationWorks) {
  const FrozenTarget frozen;
  for (const std::uint64_t size : {100u, 100'000u, 10'000'000u}) {
    EXPECT_EQ(frozen.run(allocate, size).kind, Kind::kTrap) << size;
  }
}

TEST(FrozenChild, CallsOfTheOldTableAreNotTakenForOthers) {
  const FrozenTarget frozen;
  EXPECT_EQ(frozen.run(old_style_call, 0).kind, Kind::kSystemCall);
}

TEST(FrozenChild, SharedMemoryCannotBeWritten) {
  const FrozenTarget frozen([](TargetNotes& notes) { notes.words[0] = 7; });
  const auto at = reinterpret_cast<std::uint64_t>(&frozen.target.notes().words[0]);
  const auto stop = frozen.run(fault, at);
  EXPECT_EQ(stop.kind, Kind::kSignal);
  EXPECT_EQ(stop.fault_address, at);
  EXPECT_EQ(frozen.target.word(0), 7u);
}

TEST(FrozenChild, RunsCodeThatIsWrittenIntoIt) {
  const FrozenTarget frozen;
  const std::array code = {std::byte{0xcc}, std::byte{0xcc}};
  const std::uint64_t at = frozen.child().map(4096, true);
  frozen.child().write(at, code);
  frozen.child().prepare_call(at, 0, frozen.stack);
  EXPECT_EQ(frozen.child().resume(milliseconds(1000)).kind, Kind::kTrap);
  EXPECT_EQ(frozen.child().resume(milliseconds(1000)).kind, Kind::kTrap);
  EXPECT_NE(frozen.child().reserve(1ull << 40), 0u);
}

TEST(FrozenChild, SignalsToTheWholeGroupDoNotDisturbIt) {
  const FrozenTarget frozen;
  ::kill(frozen.child().pid(), SIGSTOP);
  ::kill(frozen.child().pid(), SIGINT);
  ::kill(frozen.child().pid(), SIGCONT);
  EXPECT_EQ(frozen.run(trap, 1).kind, Kind::kTrap);
  ::kill(frozen.child().pid(), SIGSTOP);
  EXPECT_EQ(frozen.run(allocate, 1000).kind, Kind::kTrap);
}

TEST(FrozenChild, DeathFromOutsideIsReported) {
  const FrozenTarget frozen;
  ::kill(frozen.child().pid(), SIGKILL);
  EXPECT_EQ(frozen.run(loop, 0, milliseconds(1000)).kind, Kind::kEnded);
  EXPECT_EQ(frozen.child().reserve(4096), 0u);
  EXPECT_THROW(frozen.child().map(4096, false), Error);
  EXPECT_TRUE(frozen.frozen->release().empty());
  EXPECT_EQ(children_of(frozen.target.pid()), "");
}

}  // namespace
}  // namespace memsnap
