#include "attach/forked_process.h"

#include <fmt/format.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <utility>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/child_runner.h"
#include "attach/memory_guard.h"
#include "attach/reaper.h"
#include "attach/remote_call.h"

namespace memsnap {
namespace {

constexpr std::size_t kCacheBytes = 256u << 20;
constexpr std::chrono::seconds kBirthLimit{10};
constexpr int kSeccompFilter = 2;  // Seccomp: of proc_pid_status(5)

class ForkedProcess final : public FrozenProcess {
 public:
  ForkedProcess(const ProcessId& target, LeftChild child, MemoryMap map, const Gadgets& gadgets)
      : target_(target),
        zombie_(child),
        map_(std::move(map)),
        gadgets_(gadgets),
        live_(child.pid),
        memory_(live_, map_, kCacheBytes) {}
  ~ForkedProcess() override {
    try {
      release();
    } catch (...) {  // what is left is named by the next memsnap's reaping
    }
  }

  const ProcessMemory& memory() const override { return memory_; }
  const MemoryMap& map() const override { return map_; }
  FrozenChild* child() override { return runner_ && runner_->safe_to_run() ? &*runner_ : nullptr; }
  const FreezeFacts& facts() const override { return facts_; }

  std::vector<std::string> release() override {
    if (std::exchange(released_, true)) return {};
    if (runner_) {
      runner_->kill();
    } else {
      ::kill(zombie_.pid, SIGKILL);
      ::waitpid(zombie_.pid, nullptr, __WALL);
    }
    release_stragglers(stragglers_);
    if (reap(target_, zombie_, map_, gadgets_)) return {};
    return {fmt::format("a dead child, pid {}, that process {} did not take back", zombie_.pid, target_.pid())};
  }

  // After the target was let go: the child is marked and made harmless.
  void start(FreezeFacts facts, std::vector<pid_t> stragglers) {
    facts_ = std::move(facts);
    stragglers_ = std::move(stragglers);
    runner_.emplace(target_, zombie_.pid, map_, gadgets_);
  }

 private:
  const ProcessId& target_;
  LeftChild zombie_;
  MemoryMap map_;
  Gadgets gadgets_;
  LiveMemory live_;
  CachedMemory memory_;
  FreezeFacts facts_;
  std::vector<pid_t> stragglers_;
  std::optional<ChildRunner> runner_;
  bool released_ = false;
};

// Waits for the child's own first stop, so that nothing of it ever runs. The kernel attached it at birth.
void wait_for_birth(pid_t child) {
  const auto deadline = std::chrono::steady_clock::now() + kBirthLimit;
  int status = 0;
  while (::waitpid(child, &status, __WALL | WNOHANG) == 0 && std::chrono::steady_clock::now() < deadline) ::usleep(10);
}

struct Borrowed {
  std::unique_ptr<RemoteCall> call;
  std::string refused;
};

Borrowed borrow_thread(pid_t pid, const StoppedProcess& stopped, const MemoryMap& map, const Gadgets& gadgets) {
  Borrowed borrowed;
  const LiveMemory memory(pid);
  const bool filtered = status_number(pid, "Seccomp", 10, 0) == kSeccompFilter;
  const auto options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK;
  borrowed.refused = "no thread is at a point where a call can be forced on it";
  for (const bool in_call : {true, false}) {  // threads inside system calls first, the main thread before the others
    for (const pid_t tid : stopped.stopped()) {
      user_regs_struct registers{};
      if (ptrace(PTRACE_GETREGS, tid, nullptr, &registers) < 0 || in_system_call(registers) != in_call) continue;
      if (!may_borrow(tid, memory)) continue;
      if (ptrace(PTRACE_SETOPTIONS, tid, nullptr, options | (filtered ? PTRACE_O_SUSPEND_SECCOMP : 0)) < 0) {
        borrowed.refused = filtered ? "a seccomp filter that cannot be suspended" : std::strerror(errno);
        continue;
      }
      try {
        borrowed.call = std::make_unique<RemoteCall>(pid, tid, map, gadgets);
        return borrowed;
      } catch (const Error& error) {
        if (error.code() != ExitCode::kGaveUp) throw;
        borrowed.refused = error.what();
      }
    }
  }
  return borrowed;
}

[[noreturn]] void throw_no_child(bool* fallback, const std::string& why) {
  *fallback = true;
  throw Error(ExitCode::kGaveUp, fmt::format("no frozen copy can be made: {}", why), "--method stop needs none");
}

}  // namespace

std::unique_ptr<FrozenProcess> freeze_by_fork(const ProcessId& target, const FreezeOptions& options, Log& log,
                                              bool* fallback) {
  const pid_t pid = target.pid();
  // Everything that can be prepared is, before anything stops.
  require_room(pid, read_memory_use(pid), thread_ids(pid).size(), options.max_pause);
  const MemoryMap before = MemoryMap::of(pid);
  const auto gadgets = find_gadgets(before, LiveMemory(pid));
  if (!gadgets) throw_no_child(fallback, "its program has no system call instruction that could be used");
  const std::vector<LeftChild> left = left_children(pid);

  StoppedProcess stopped(target, {.wait = options.wait});
  MemoryMap map = MemoryMap::of(pid);
  Borrowed borrowed = borrow_thread(pid, stopped, map, *gadgets);
  if (!borrowed.call) throw_no_child(fallback, borrowed.refused);
  for (const LeftChild& child : left) reap(*borrowed.call, child);
  const RemoteCall::Result cloned = borrowed.call->clone_child();
  if (cloned.value < 0 || cloned.child == 0) {
    borrowed.call->restore();
    throw_no_child(fallback, fmt::format("clone: {}", std::strerror(static_cast<int>(-cloned.value))));
  }
  const LeftChild child{cloned.child, static_cast<pid_t>(cloned.value)};
  wait_for_birth(child.pid);
  ptrace(PTRACE_SETOPTIONS, child.pid, nullptr, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
  auto frozen = std::make_unique<ForkedProcess>(target, child, std::move(map), *gadgets);
  const bool same = borrowed.call->restore();
  borrowed.call.reset();

  FreezeFacts facts;
  facts.method = Method::kFreeze;
  facts.threads = static_cast<std::uint32_t>(stopped.stopped().size());
  facts.threads_not_stopped = stopped.not_stopped();
  facts.was_stopped = stopped.group_stopped();
  std::vector<pid_t> stragglers = stopped.release();
  facts.pause = stopped.stopped_for();
  if (!same) {
    throw Error(ExitCode::kTargetHarmed, fmt::format("a thread of {} is not as it was before the freeze", pid),
                "please report this with the output of: memsnap doctor");
  }
  if (!left.empty())
    log.info("reaped", fmt::format("{} dead child(ren) of an earlier memsnap taken back", left.size()));
  frozen->start(std::move(facts), std::move(stragglers));
  return frozen;
}

}  // namespace memsnap
