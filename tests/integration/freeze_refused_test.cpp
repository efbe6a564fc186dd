#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "attach/base/error.h"
#include "attach/reaper.h"
#include "tests/integration/forked_target.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;

void filter_call(int number, std::uint32_t action) {
  const auto statement = [](int code, std::uint32_t k) {
    return sock_filter{static_cast<std::uint16_t>(code), 0, 0, k};
  };
  std::vector<sock_filter> filter = {
      statement(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, static_cast<std::uint32_t>(number)},
      statement(BPF_RET | BPF_K, action),
      statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{static_cast<unsigned short>(filter.size()), filter.data()};
  ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) ::_exit(1);
}

void wait_for_ever(TargetNotes& notes) {
  notes.ready = 1;
  for (;;) {
    ::usleep(1000);
    ++notes.words[0];
  }
}

struct Attempt {
  int code = -1;  // ExitCode, or 0
  Method method = Method::kRead;
  std::string text;  // of the error, or the reason of the fallback
};

// A freeze by another process, which may first give up rights.
Attempt freeze_elsewhere(pid_t target, Method method, const std::function<void()>& before) {
  int ends[2] = {};
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    before();
    std::string answer;
    try {
      const auto frozen = freeze_now(target, method);
      answer = "0 " + std::to_string(static_cast<int>(frozen->facts().method)) + " " + frozen->facts().fallback_reason;
    } catch (const Error& error) {
      answer = std::to_string(static_cast<int>(error.code())) + " 9 " + error.what();
    }
    [[maybe_unused]] const auto written = ::write(ends[1], answer.data(), answer.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string answer(1000, '\0');
  const ssize_t size = ::read(ends[0], answer.data(), answer.size());
  answer.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  ::close(ends[0]);
  ::waitpid(pid, nullptr, 0);
  std::istringstream words(answer);
  Attempt attempt;
  int made = 9;
  words >> attempt.code >> made;
  attempt.method = static_cast<Method>(made);
  std::getline(words >> std::ws, attempt.text);
  return attempt;
}

// All but the right to suspend or read filters.
void drop_admin() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  data[0].effective = data[0].permitted = 1u << CAP_SYS_PTRACE | 1u << CAP_DAC_OVERRIDE;
  if (::syscall(SYS_capset, &header, data) != 0) ::_exit(1);
}

void expect_goes_on(const ForkedTarget& target) {
  const auto before = target.word(0);
  ForkedTarget::wait_until([&] { return target.word(0) > before + 2; });
  EXPECT_EQ(children_of(target.pid()), "");
}

class FreezeUnderFilter : public testing::TestWithParam<std::pair<int, std::uint32_t>> {};

TEST_P(FreezeUnderFilter, IsSuspendedOrTheFreezeFallsBack) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to suspend a filter";
  const auto [number, action] = GetParam();
  ForkedTarget target([=](TargetNotes& notes) {
    filter_call(number, action);
    wait_for_ever(notes);
  });
  target.wait_ready();

  EXPECT_TRUE(freeze_now(target.pid())->release().empty());
  expect_goes_on(target);
  const auto refused = freeze_elsewhere(target.pid(), Method::kFreeze, drop_admin);
  EXPECT_EQ(refused.code, static_cast<int>(ExitCode::kGaveUp));
  EXPECT_NE(refused.text.find("seccomp"), std::string::npos) << refused.text;
  expect_goes_on(target);
  const auto copied = freeze_elsewhere(target.pid(), Method::kAuto, drop_admin);
  EXPECT_EQ(copied.code, 0);
  EXPECT_EQ(copied.method, Method::kStop);
  EXPECT_NE(copied.text.find("seccomp"), std::string::npos) << copied.text;
  expect_goes_on(target);
}

INSTANTIATE_TEST_SUITE_P(Calls, FreezeUnderFilter,
                         testing::Values(std::pair<int, std::uint32_t>{SYS_clone, SECCOMP_RET_ERRNO | 1},
                                         std::pair<int, std::uint32_t>{SYS_clone, SECCOMP_RET_KILL_PROCESS},
                                         std::pair<int, std::uint32_t>{SYS_wait4, SECCOMP_RET_KILL_PROCESS},
                                         std::pair<int, std::uint32_t>{SYS_mprotect, SECCOMP_RET_TRAP}));

TEST(FreezeRefused, WhenAnotherTracerIsThereItIsNamed) {
  ForkedTarget target(wait_for_ever);
  target.wait_ready();
  ForkedTarget tracer([&](TargetNotes& notes) {
    if (::ptrace(PTRACE_SEIZE, target.pid(), 0, 0) == 0) notes.ready = 1;
    for (;;) ::pause();
  });
  tracer.wait_ready();
  try {
    freeze_now(target.pid());
    ADD_FAILURE() << "it was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBusy);
    EXPECT_NE(std::string(error.what()).find(std::to_string(tracer.pid())), std::string::npos) << error.what();
  }
  EXPECT_FALSE(freeze_now(target.pid(), Method::kRead)->facts().consistent);
  expect_goes_on(target);
}

TEST(FreezeRefused, ToAStranger) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  ForkedTarget target(wait_for_ever);
  target.wait_ready();
  const auto refused = freeze_elsewhere(target.pid(), Method::kFreeze, [] {
    constexpr uid_t kNobody = 65534;
    if (::setgroups(0, nullptr) != 0 || ::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) ::_exit(1);
  });
  EXPECT_EQ(refused.code, static_cast<int>(ExitCode::kNoPermission)) << refused.text;
  expect_goes_on(target);
}

// None of its threads can be stopped: it waits in vfork(2) for a child that waits for the test.
TEST(FreezeRefused, ATargetThatCannotTakeItsChildBackIsGivenUp) {
  int gate[2] = {};
  ASSERT_EQ(::pipe(gate), 0);
  ForkedTarget target([&](TargetNotes& notes) {
    const long copy = ::syscall(SYS_clone, 0, 0, 0, 0, 0);  // as the frozen copy: without a signal at its end
    if (copy == 0) ::_exit(0);
    notes.words[0] = static_cast<std::uint64_t>(copy);
    notes.ready = 1;
    if (::vfork() == 0) {
      char byte = 0;
      ::close(gate[1]);
      [[maybe_unused]] const auto got = ::read(gate[0], &byte, 1);
      ::_exit(0);
    }
    notes.ready = 2;
    for (;;) ::pause();
  });
  target.wait_ready();
  ForkedTarget::wait_until([&] { return state_of(target.pid()) == 'D'; });
  const auto child = static_cast<pid_t>(target.word(0));
  ForkedTarget::wait_until([&] { return state_of(child) == 'Z'; });
  const ProcessId id = ProcessId::open(target.pid());

  const auto began = std::chrono::steady_clock::now();
  EXPECT_FALSE(reap(id, {child, child}, milliseconds(200)));
  EXPECT_LT(std::chrono::steady_clock::now() - began, kReapLimit);
  EXPECT_EQ(state_of(child), 'Z');

  EXPECT_EQ(::write(gate[1], "x", 1), 1);
  target.wait_ready(2);
  EXPECT_TRUE(reap(id, {child, child}));
  EXPECT_EQ(state_of(child), 'X');
  ::close(gate[0]);
  ::close(gate[1]);
}

TEST(FreezeRefused, WhenThePauseWouldBeTooLong) {
  ForkedTarget target(wait_for_ever);
  target.wait_ready();
  NullLog log;
  const ProcessId id = ProcessId::open(target.pid());
  try {
    freeze(id, {.max_pause = milliseconds(0)}, log);
    ADD_FAILURE() << "it was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kGaveUp);
  }
  expect_goes_on(target);
}

TEST(FreezeRefused, ByAProcessLimitItFallsBack) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become somebody else";
  ForkedTarget target([](TargetNotes& notes) {
    constexpr uid_t kSomebody = 64999;
    const rlimit one{1, 1};
    ::setrlimit(RLIMIT_NPROC, &one);
    if (::setgid(kSomebody) != 0 || ::setuid(kSomebody) != 0) ::_exit(1);
    wait_for_ever(notes);
  });
  target.wait_ready();
  const auto copied = freeze_now(target.pid(), Method::kAuto);
  EXPECT_EQ(copied->facts().method, Method::kStop);
  EXPECT_NE(copied->facts().fallback_reason.find(std::strerror(EAGAIN)), std::string::npos)
      << copied->facts().fallback_reason;
  expect_goes_on(target);
}

constexpr std::size_t kWords = 8u << 20;

void fill_memory(TargetNotes& notes) {
  auto* const words = static_cast<std::uint64_t*>(
      ::mmap(nullptr, kWords * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  for (std::size_t i = 0; i < kWords / 2; ++i) words[i] = i * 3;  // the other half is never touched
  notes.words[1] = reinterpret_cast<std::uint64_t>(words);
  wait_for_ever(notes);
}

TEST(FreezeByCopy, HasTheMemory) {
  ForkedTarget target(fill_memory);
  target.wait_ready();
  const auto copied = freeze_now(target.pid(), Method::kStop);
  EXPECT_EQ(copied->child(), nullptr);
  EXPECT_EQ(copied->facts().method, Method::kStop);
  EXPECT_FALSE(copied->facts().partial);
  EXPECT_TRUE(copied->facts().consistent);
  for (std::size_t i = 0; i < kWords; i += 4097) {
    ASSERT_EQ(copied->memory().try_read<std::uint64_t>(target.word(1) + i * 8), i < kWords / 2 ? i * 3 : 0) << i;
  }
  std::vector<std::byte> much(kWords * 8);
  EXPECT_TRUE(copied->memory().copy(target.word(1), much));
  expect_goes_on(target);
}

TEST(FreezeByCopy, IsPartialAtTheDeadline) {
  ForkedTarget target(fill_memory);
  target.wait_ready();
  NullLog log;
  const ProcessId id = ProcessId::open(target.pid());
  const auto copied = freeze(id, {.method = Method::kStop, .max_pause = milliseconds(3)}, log);
  EXPECT_TRUE(copied->facts().partial);
  EXPECT_LT(copied->facts().pause, milliseconds(100));
  EXPECT_EQ(copied->memory().try_read<std::uint64_t>(target.word(1) + (kWords / 2 - 1) * 8), std::nullopt);
  expect_goes_on(target);
}

TEST(FreezeByCopy, ReadOfARunningTargetTouchesNothing) {
  ForkedTarget target(fill_memory);
  target.wait_ready();
  const auto live = freeze_now(target.pid(), Method::kRead);
  EXPECT_EQ(live->facts().method, Method::kRead);
  EXPECT_FALSE(live->facts().consistent);
  EXPECT_EQ(live->facts().pause.count(), 0);
  EXPECT_EQ(live->memory().try_read<std::uint64_t>(target.word(1) + 8), 3u);
}

}  // namespace
}  // namespace memsnap
