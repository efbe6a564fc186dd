#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "tests/integration/tracked_target.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;

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

void drop_admin() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2] = {};
  data[0].effective = data[0].permitted = 1u << CAP_SYS_PTRACE | 1u << CAP_DAC_OVERRIDE;
  if (::syscall(SYS_capset, &header, data) != 0) ::_exit(1);
}

struct Attempt {
  int code = -1;  // ExitCode, or 0
  std::string text;
};

// A start, by another process that may first give up rights, and the end when it worked.
Attempt track_elsewhere(pid_t target, const std::function<void()>& before) {
  int ends[2] = {};
  EXPECT_EQ(::pipe(ends), 0);
  const pid_t pid = ::fork();
  if (pid == 0) {
    before();
    std::string answer = "0 ";
    try {
      TestLog log;
      const ProcessId id = ProcessId::open(target);
      const auto tracking = Tracking::start(id, test_setup(), log);
      answer += joined(tracking->stop().left_behind);
    } catch (const Error& error) {
      answer = std::to_string(static_cast<int>(error.code())) + " " + error.what() + " " + error.hint();
    }
    [[maybe_unused]] const auto written = ::write(ends[1], answer.data(), answer.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string answer(2000, '\0');
  const ssize_t size = ::read(ends[0], answer.data(), answer.size());
  answer.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
  ::close(ends[0]);
  ::waitpid(pid, nullptr, 0);
  Attempt attempt;
  std::istringstream words(answer);
  words >> attempt.code;
  std::getline(words >> std::ws, attempt.text);
  return attempt;
}

void expect_untouched(const ForkedTarget& target, const Fingerprint& before) {
  EXPECT_TRUE(goes_on(target));
  EXPECT_EQ(joined(differences(before, take_fingerprint(ProcessId::open(target.pid()), {}), kStill)), "");
}

class InjectUnderFilter : public testing::TestWithParam<std::pair<int, std::uint32_t>> {};

TEST_P(InjectUnderFilter, IsSuspendedOrRefused) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to suspend a filter";
  const auto [number, action] = GetParam();
  ForkedTarget target([=](TargetNotes& notes) {
    filter_call(number, action);
    tick(notes);
  });
  target.wait_ready();
  ASSERT_TRUE(goes_on(target));
  const Fingerprint before = take_fingerprint(ProcessId::open(target.pid()), {});

  const Attempt suspended = track_elsewhere(target.pid(), [] {});
  EXPECT_EQ(suspended.code, 0);
  EXPECT_EQ(suspended.text, "");
  expect_untouched(target, before);
  const Attempt refused = track_elsewhere(target.pid(), drop_admin);
  EXPECT_EQ(refused.code, static_cast<int>(ExitCode::kGaveUp));
  EXPECT_NE(refused.text.find("seccomp"), std::string::npos) << refused.text;
  expect_untouched(target, before);
}

INSTANTIATE_TEST_SUITE_P(Calls, InjectUnderFilter,
                         testing::Values(std::pair{SYS_memfd_create, std::uint32_t{SECCOMP_RET_KILL_PROCESS}},
                                         std::pair{SYS_memfd_create, SECCOMP_RET_ERRNO | EPERM},
                                         std::pair{SYS_madvise, std::uint32_t{SECCOMP_RET_TRAP}},
                                         std::pair{SYS_mprotect, std::uint32_t{SECCOMP_RET_KILL_PROCESS}}));

void limit(__rlimit_resource what, std::uint64_t most) {
  const rlimit both{most, most};
  if (::setrlimit(what, &both) != 0) ::_exit(1);
}

std::uint64_t mapped_size() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t pages = 0;
  file >> pages;
  return pages * 4096;
}

TEST(InjectRefused, AddressSpaceLimitTooNear) {
  ForkedTarget target([](TargetNotes& notes) {
    limit(RLIMIT_AS, mapped_size() + 200 * kMiB);
    tick(notes);
  });
  target.wait_ready();
  ASSERT_TRUE(goes_on(target));
  const Fingerprint before = take_fingerprint(ProcessId::open(target.pid()), {});
  const Attempt refused = track_elsewhere(target.pid(), [] {});
  EXPECT_EQ(refused.code, static_cast<int>(ExitCode::kGaveUp));
  EXPECT_NE(refused.text.find("RLIMIT_AS"), std::string::npos) << refused.text;
  expect_untouched(target, before);
}

TEST(InjectRefused, SmallerTablesBelowALimit) {
  ForkedTarget target([](TargetNotes& notes) {
    limit(RLIMIT_AS, mapped_size() + 4096 * kMiB);
    limit(RLIMIT_FSIZE, 0);
    tick(notes);
  });
  target.wait_ready();
  ASSERT_TRUE(goes_on(target));
  const ProcessId id = ProcessId::open(target.pid());
  const Fingerprint before = take_fingerprint(id, {});
  TestLog log;
  const auto tracking = Tracking::start(id, test_setup(), log);
  EXPECT_LT(tracking->header().size, 4096 * kMiB);
  EXPECT_TRUE(counts(*tracking));
  EXPECT_EQ(joined(tracking->stop().left_behind), "") << log.text();
  expect_untouched(target, before);
}

// mlockall(MCL_FUTURE) makes all that is mapped resident: that must not become true of the tables.
TEST(InjectRefused, TablesAreNotLockedIntoMemory) {
  ForkedTarget target([](TargetNotes& notes) {
    notes.words[5] = ::mlockall(MCL_CURRENT | MCL_FUTURE) == 0 ? 1 : 2;
    tick(notes);
  });
  target.wait_ready();
  if (target.word(5) != 1) GTEST_SKIP() << "memory cannot be locked here";
  ASSERT_TRUE(goes_on(target));
  const ProcessId id = ProcessId::open(target.pid());
  const std::uint64_t before = read_memory_use(target.pid()).rss;
  TestLog log;
  const auto tracking = Tracking::start(id, test_setup(), log);
  EXPECT_TRUE(counts(*tracking));
  EXPECT_LT(read_memory_use(target.pid()).rss, before + 8 * kMiB);
  EXPECT_EQ(joined(tracking->stop().left_behind), "") << log.text();
}

TEST(InjectRefused, OurOwnFileSizeLimit) {
  ForkedTarget target(tick);
  target.wait_ready();
  ASSERT_TRUE(goes_on(target));
  const Fingerprint before = take_fingerprint(ProcessId::open(target.pid()), {});
  const Attempt refused = track_elsewhere(target.pid(), [] { limit(RLIMIT_FSIZE, kMiB); });
  EXPECT_EQ(refused.code, static_cast<int>(ExitCode::kGaveUp));
  EXPECT_NE(refused.text.find("File too large"), std::string::npos) << refused.text;
  expect_untouched(target, before);
}

TEST(InjectRefused, NoMoreDescriptors) {
  ForkedTarget target([](TargetNotes& notes) {
    limit(RLIMIT_NOFILE, 3);
    tick(notes);
  });
  target.wait_ready();
  ASSERT_TRUE(goes_on(target));
  const Fingerprint before = take_fingerprint(ProcessId::open(target.pid()), {});
  const Attempt refused = track_elsewhere(target.pid(), [] {});
  EXPECT_EQ(refused.code, static_cast<int>(ExitCode::kGaveUp));
  EXPECT_NE(refused.text.find("memfd_create"), std::string::npos) << refused.text;
  expect_untouched(target, before);
}

// mmap of executable memory is refused by its arguments, as a policy does it.
TEST(InjectRefused, NoExecutableMemory) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to read a filter";
  ForkedTarget target([](TargetNotes& notes) {
    constexpr int kMdweRefuseExecGain = 1;
    constexpr int kSetMdwe = 65;  // PR_SET_MDWE, Linux 6.3: memory is never made executable later
    notes.words[5] = ::prctl(kSetMdwe, kMdweRefuseExecGain, 0, 0, 0) == 0 ? 1 : 2;
    tick(notes);
  });
  target.wait_ready();
  ASSERT_TRUE(goes_on(target));
  if (target.word(5) != 1) GTEST_SKIP() << "this kernel has no PR_SET_MDWE";
  const Fingerprint before = take_fingerprint(ProcessId::open(target.pid()), {});
  const Attempt works = track_elsewhere(target.pid(), [] {});
  EXPECT_EQ(works.code, 0) << works.text;
  expect_untouched(target, before);
}

TEST(InjectRefused, AnotherMemsnapIsTracking) {
  ForkedTarget target(tick);
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  TestLog log;
  const auto tracking = Tracking::start(id, test_setup(), log);
  const Attempt refused = track_elsewhere(target.pid(), [&] { ::close(tracking->descriptor()); });
  EXPECT_EQ(refused.code, static_cast<int>(ExitCode::kBusy));
  EXPECT_NE(refused.text.find(std::to_string(::getpid())), std::string::npos) << refused.text;
  EXPECT_TRUE(counts(*tracking));
  EXPECT_EQ(joined(tracking->stop().left_behind), "") << log.text();
}

TEST(InjectRefused, AnotherTracer) {
  ForkedTarget target(tick);
  target.wait_ready();
  ASSERT_TRUE(goes_on(target));
  const Fingerprint before = take_fingerprint(ProcessId::open(target.pid()), {});
  ASSERT_EQ(ptrace(PTRACE_SEIZE, target.pid(), nullptr, nullptr), 0);
  const Attempt refused = track_elsewhere(target.pid(), [] {});
  EXPECT_EQ(refused.code, static_cast<int>(ExitCode::kBusy));
  EXPECT_NE(refused.text.find("already traced"), std::string::npos) << refused.text;
  ptrace(PTRACE_INTERRUPT, target.pid(), nullptr, nullptr);
  ::waitpid(target.pid(), nullptr, __WALL);
  ptrace(PTRACE_DETACH, target.pid(), nullptr, nullptr);
  expect_untouched(target, before);
}

TEST(InjectRefused, StaticProgram) {
  ForkedTarget target([](TargetNotes& notes) {
    notes.ready = 1;
    ::execl(MEMSNAP_STATIC_TARGET, "static_target", nullptr);
  });
  target.wait_ready();
  ASSERT_TRUE(ForkedTarget::wait_until([&] {
    const std::string maps = read_whole("/proc/" + std::to_string(target.pid()) + "/maps");
    return maps.find("static_target") != std::string::npos && maps.find("[heap]") != std::string::npos &&
           state_of(target.pid()) == 'S';
  }));
  const ProcessId id = ProcessId::open(target.pid());
  const Fingerprint before = take_fingerprint(id, {});
  const Attempt refused = track_elsewhere(target.pid(), [] {});
  EXPECT_EQ(refused.code, static_cast<int>(ExitCode::kUnsupported)) << refused.text;
  EXPECT_EQ(joined(differences(before, take_fingerprint(id, {}), kStill)), "");
}

TEST(InjectRefused, AnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to become another user";
  ForkedTarget target(tick);
  target.wait_ready();
  ASSERT_TRUE(goes_on(target));
  const Fingerprint before = take_fingerprint(ProcessId::open(target.pid()), {});
  constexpr uid_t kNobody = 65534;
  const Attempt refused = track_elsewhere(target.pid(), [] {
    if (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0) ::_exit(1);
  });
  EXPECT_EQ(refused.code, static_cast<int>(ExitCode::kNoPermission)) << refused.text;
  expect_untouched(target, before);
}

TEST(InjectRefused, ThreadInUninterruptibleSleep) {
  ForkedTarget target([](TargetNotes& notes) {
    std::thread([&notes] {
      const pid_t child = ::vfork();  // its parent sleeps until the child ends
      if (child == 0) {
        while (notes.stop == 0) ::usleep(1000);
        ::_exit(0);
      }
      for (;;) ::pause();
    }).detach();
    tick(notes);
  });
  target.wait_ready();
  ASSERT_TRUE(goes_on(target));
  ::usleep(30000);
  const Attempt refused = track_elsewhere(target.pid(), [] {});
  EXPECT_EQ(refused.code, static_cast<int>(ExitCode::kGaveUp));
  EXPECT_NE(refused.text.find("uninterruptible"), std::string::npos) << refused.text;
  EXPECT_TRUE(find_agents(target.pid()).empty());
  target.notes().stop = 1;
  ::usleep(30000);
  EXPECT_EQ(track_elsewhere(target.pid(), [] {}).code, 0);
  EXPECT_TRUE(goes_on(target));
}

TEST(InjectRefused, MemoryLimitTooNear) {
  std::string folder;
  for (const auto& [root, file] :
       {std::pair<std::string, std::string>{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
        {"/sys/fs/cgroup", "memory.max"}}) {
    folder = root + "/memsnap-inject-test-" + std::to_string(::getpid());
    if (::mkdir(folder.c_str(), 0755) != 0) continue;
    std::ofstream out(folder + "/" + file);
    if (out << 64 * kMiB && out.flush()) break;
    ::rmdir(folder.c_str());
    folder.clear();
  }
  if (folder.empty() || ::access((folder + "/cgroup.procs").c_str(), W_OK) != 0)
    GTEST_SKIP() << "no memory cgroup can be made here";
  {
    ForkedTarget target([&](TargetNotes& notes) {
      std::ofstream(folder + "/cgroup.procs") << ::getpid() << std::flush;
      void* const place = ::mmap(nullptr, 40 * kMiB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      std::memset(place, 1, 40 * kMiB);
      tick(notes);
    });
    target.wait_ready();
    const Attempt refused = track_elsewhere(target.pid(), [] {});
    EXPECT_EQ(refused.code, static_cast<int>(ExitCode::kGaveUp));
    EXPECT_NE(refused.text.find("memory limit"), std::string::npos) << refused.text;
    EXPECT_TRUE(goes_on(target));
  }
  for (int i = 0; i < 100 && ::rmdir(folder.c_str()) != 0; ++i) ::usleep(10000);
}

}  // namespace
}  // namespace memsnap
