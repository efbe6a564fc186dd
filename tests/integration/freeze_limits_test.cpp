#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstring>
#include <fstream>
#include <string>
#include <thread>

#include "attach/base/error.h"
#include "tests/integration/forked_target.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;
constexpr std::size_t kMiB = 1u << 20;

// A memory limit of its own for one process (cgroup v1 or v2, whichever is there).
class MemoryGroup {
 public:
  explicit MemoryGroup(std::size_t limit) {
    const std::string name = "/memsnap-test-" + std::to_string(::getpid());
    for (const auto& [root, file] :
         {std::pair<std::string, std::string>{"/sys/fs/cgroup/memory", "memory.limit_in_bytes"},
          {"/sys/fs/cgroup", "memory.max"}}) {
      folder_ = root + name;
      if (::mkdir(folder_.c_str(), 0755) != 0) continue;
      std::ofstream out(folder_ + "/" + file);
      if (out << limit && out.flush()) return;
      ::rmdir(folder_.c_str());
    }
    folder_.clear();
  }
  ~MemoryGroup() {
    for (int i = 0; i < 100 && !folder_.empty() && ::rmdir(folder_.c_str()) != 0; ++i) ::usleep(10000);
  }
  MemoryGroup(const MemoryGroup&) = delete;
  MemoryGroup& operator=(const MemoryGroup&) = delete;
  bool works() const { return !folder_.empty(); }
  void enter() const { std::ofstream(folder_ + "/cgroup.procs") << ::getpid() << std::flush; }

 private:
  std::string folder_;
};

void use_memory(std::size_t size) {
  void* const place = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ::madvise(place, size, MADV_NOHUGEPAGE);
  std::memset(place, 1, size);
}

// Uses `at_first`, and when told so `later` more, in steps.
void grow(const MemoryGroup& group, TargetNotes& notes, std::size_t at_first, std::size_t later) {
  group.enter();
  use_memory(at_first);
  notes.ready = 1;
  while (notes.stop == 0) ::usleep(100);
  for (std::size_t used = 0; used < later; used += kMiB) {
    use_memory(kMiB);
    ::usleep(2000);
  }
  notes.ready = 2;
  for (;;) ::pause();
}

TEST(FreezeUnderLimit, TooNearIsRefusedBeforeAnythingIsTouched) {
  const MemoryGroup group(128 * kMiB);
  if (!group.works()) GTEST_SKIP() << "no memory cgroup can be made here";
  ForkedTarget target([&](TargetNotes& notes) { grow(group, notes, 100 * kMiB, 0); });
  target.wait_ready();
  try {
    freeze_now(target.pid());
    ADD_FAILURE() << "it was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kGaveUp);
    EXPECT_NE(std::string(error.what()).find("memory limit"), std::string::npos) << error.what();
  }
  ForkedTarget::wait_until([&] { return state_of(target.pid()) == 'S'; });
}

TEST(FreezeUnderLimit, UnaskedOnlyWhereAllOfItFits) {
  const MemoryGroup group(256 * kMiB);
  if (!group.works()) GTEST_SKIP() << "no memory cgroup can be made here";
  ForkedTarget target([&](TargetNotes& notes) { grow(group, notes, 60 * kMiB, 90 * kMiB); });
  target.wait_ready();
  EXPECT_EQ(freeze_now(target.pid(), Method::kAuto)->facts().method, Method::kFreeze);

  target.notes().stop = 1;
  target.wait_ready(2);
  const auto stopped = freeze_now(target.pid(), Method::kAuto);
  EXPECT_EQ(stopped->facts().method, Method::kStop);
  EXPECT_NE(stopped->facts().fallback_reason.find("memory limit"), std::string::npos)
      << stopped->facts().fallback_reason;
  EXPECT_EQ(freeze_now(target.pid(), Method::kFreeze)->facts().method, Method::kFreeze);
}

TEST(FreezeUnderLimit, NeitherCopyNorStopSaysHow) {
  const MemoryGroup group(256 * kMiB);
  if (!group.works()) GTEST_SKIP() << "no memory cgroup can be made here";
  ForkedTarget target([&](TargetNotes& notes) { grow(group, notes, 150 * kMiB, 0); });
  target.wait_ready();
  NullLog log;
  const ProcessId id = ProcessId::open(target.pid());
  try {
    freeze(id, {.max_pause = milliseconds(20)}, log);
    ADD_FAILURE() << "it was not refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kGaveUp);
    EXPECT_NE(std::string(error.what()).find("memory limit"), std::string::npos) << error.what();
    EXPECT_NE(error.hint().find("--method freeze"), std::string::npos) << error.hint();
    EXPECT_NE(error.hint().find("--method stop --max-pause"), std::string::npos) << error.hint();
  }
}

TEST(FreezeUnderLimit, ChildDiesBeforeTheTargetNeedsTheMemory) {
  const MemoryGroup group(192 * kMiB);
  if (!group.works()) GTEST_SKIP() << "no memory cgroup can be made here";
  ForkedTarget target([&](TargetNotes& notes) { grow(group, notes, 90 * kMiB, 90 * kMiB); });
  target.wait_ready();
  const auto frozen = freeze_now(target.pid());
  const pid_t child = frozen->child()->pid();

  target.notes().stop = 1;
  ForkedTarget::wait_until([&] { return state_of(child) == 'Z' || state_of(child) == 'X'; });
  target.wait_ready(2);

  EXPECT_EQ(frozen->child()->resume(milliseconds(100)).kind, ChildStop::Kind::kEnded);
  EXPECT_TRUE(frozen->release().empty());
  ForkedTarget::wait_until([&] { return state_of(target.pid()) == 'S'; });
}

TEST(FreezeUnderLimit, SleepingThreadIsLeftOut) {
  int gate[2] = {};
  ASSERT_EQ(::pipe(gate), 0);
  ForkedTarget target([&](TargetNotes& notes) {
    std::thread([&] {
      notes.ready = 1;
      const pid_t child = ::vfork();  // its parent sleeps uninterruptibly until the child execs or ends
      if (child == 0) {
        char byte = 0;
        ::close(gate[1]);
        [[maybe_unused]] const auto got = ::read(gate[0], &byte, 1);
        ::_exit(0);
      }
      notes.ready = 2;
      for (;;) ::pause();
    }).detach();
    for (;;) {
      ::usleep(500);
      ++notes.words[0];
    }
  });
  target.wait_ready();
  ::usleep(50000);

  const auto frozen = freeze_now(target.pid());
  EXPECT_EQ(frozen->facts().threads, 1u);
  EXPECT_EQ(frozen->facts().threads_not_stopped, 1u);
  EXPECT_LT(frozen->facts().pause, milliseconds(200));
  EXPECT_TRUE(frozen->release().empty());

  EXPECT_EQ(::write(gate[1], "xx", 2), 2);
  target.wait_ready(2);
  const auto whole = freeze_now(target.pid());
  EXPECT_EQ(whole->facts().threads, 2u);
  ::close(gate[0]);
  ::close(gate[1]);
}

TEST(FreezeUnderLimit, TargetInAPidNamespaceOfItsOwn) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to make a namespace";
  ForkedTarget maker([](TargetNotes& notes) {
    if (::unshare(CLONE_NEWPID) != 0) ::_exit(1);
    const pid_t inner = ::fork();
    if (inner == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      notes.words[2] = static_cast<std::uint64_t>(::getpid());
      notes.ready = 1;
      for (;;) {
        ::usleep(500);
        ++notes.words[0];
      }
    }
    notes.words[1] = static_cast<std::uint64_t>(inner);
    ::waitpid(inner, nullptr, 0);
  });
  maker.wait_ready();
  ForkedTarget::wait_until([&] { return maker.word(1) != 0; });
  const auto pid = static_cast<pid_t>(maker.word(1));
  ASSERT_EQ(maker.word(2), 1u);

  for (int i = 0; i < 5; ++i) {
    const auto frozen = freeze_now(pid);
    ASSERT_NE(frozen->child(), nullptr);
    EXPECT_TRUE(frozen->release().empty());
    EXPECT_EQ(children_of(pid), "");
  }
  const auto before = maker.word(0);
  ForkedTarget::wait_until([&] { return maker.word(0) > before; });
}

}  // namespace
}  // namespace memsnap
