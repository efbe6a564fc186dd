#include "attach/forked_process.h"

#include <fmt/format.h>
#include <sys/wait.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <utility>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/child_memory.h"
#include "attach/child_runner.h"
#include "attach/memory_guard.h"
#include "attach/reaper.h"
#include "attach/remote_call.h"
#include "attach/tracee_wait.h"
#include "attach/tracer_thread.h"

namespace memsnap {
namespace {

constexpr std::size_t kCacheBytes = 256u << 20;
constexpr std::chrono::milliseconds kStragglerPoll{2};

// The child as its tracer's thread alone may handle it.
class TracedChild final : public FrozenChild {
 public:
  TracedChild(TracerThread& tracer, ChildRunner& runner) : tracer_(tracer), runner_(runner) {}
  pid_t pid() const override { return runner_.pid(); }
  std::uint64_t map(std::size_t size, bool executable) override {
    return tracer_.run([&] { return runner_.map(size, executable); });
  }
  std::uint64_t reserve(std::size_t size) override {
    return tracer_.run([&] { return runner_.reserve(size); });
  }
  void write(std::uint64_t address, std::span<const std::byte> bytes) override { runner_.write(address, bytes); }
  void prepare_call(std::uint64_t entry, std::uint64_t argument, std::uint64_t stack_top) override {
    tracer_.run([&] { runner_.prepare_call(entry, argument, stack_top); });
  }
  ChildStop resume(std::chrono::milliseconds slice) override {
    return tracer_.run([&] { return runner_.resume(slice); });
  }
  void resume_async() override {
    tracer_.run([&] { runner_.resume_async(); });
  }
  ChildStop wait(std::chrono::milliseconds slice) override {
    return tracer_.run([&] { return runner_.wait(slice); });
  }
  double cpu_ms() const override { return runner_.cpu_ms(); }

 private:
  TracerThread& tracer_;
  ChildRunner& runner_;
};

class ForkedProcess final : public FrozenProcess {
 public:
  ForkedProcess(const ProcessId& target, SameProgram program, LeftChild child, const Gadgets& gadgets)
      : target_(target), program_(std::move(program)), zombie_(child), gadgets_(gadgets) {}
  ForkedProcess(const ForkedProcess&) = delete;
  ForkedProcess& operator=(const ForkedProcess&) = delete;
  ~ForkedProcess() override {
    try {
      release();
    } catch (...) {  // what is left is found and reaped by the next memsnap
    }
  }

  const ProcessMemory& memory() const override { return *memory_; }
  const MemoryMap& map() const override { return *map_; }
  FrozenChild* child() override { return traced_ && runner_->safe_to_run() ? &*traced_ : nullptr; }
  const FreezeFacts& facts() const override { return facts_; }
  // A process that was killed gives its memory up before it has ended.
  bool lost() const override {
    std::byte instruction{};
    return has_ended(zombie_.pid) || !uncached_->copy(gadgets_.system_call, {&instruction, 1});
  }

  std::vector<std::string> release() override {
    if (std::exchange(released_, true)) return {};
    reserve_.reset();
    return tracer_ ? tracer_->run([this] { return end_child(); }) : end_child();
  }

  // On the tracer's thread, after the target was let go: the child is marked and made harmless.
  void start(SeccompGate gate, FreezeFacts facts, std::vector<pid_t> stragglers) {
    facts_ = std::move(facts);
    stragglers_ = std::move(stragglers);
    runner_.emplace(program_, zombie_.pid, gadgets_, std::move(gate), [this] { release_stragglers(stragglers_); });
    map_ = MemoryMap::of(zombie_.pid);
    runner_->protect_shared(*map_);
    uncached_.emplace(zombie_.pid, *map_);
    memory_.emplace(*uncached_, *map_, kCacheBytes);
  }

  void keep_reserve(std::unique_ptr<std::byte[]> reserve) { reserve_ = std::move(reserve); }

  // From its own thread to the caller's.
  void hand_over(std::unique_ptr<TracerThread> tracer) {
    tracer_ = std::move(tracer);
    traced_.emplace(*tracer_, *runner_);
    if (stragglers_.empty()) return;
    tracer_->run([this] { tracer_->when_idle(kStragglerPoll, [this] { release_stragglers(stragglers_); }); });
  }

 private:
  std::vector<std::string> end_child() {
    if (runner_) {
      runner_->kill();
    } else {
      kill_tracee(zombie_.pid);
      ::waitpid(zombie_.pid, nullptr, __WALL);
    }
    release_stragglers(stragglers_);
    if (!has_ended(zombie_.pid)) return {fmt::format("a frozen copy, pid {}, that could not be ended", zombie_.pid)};
    if (reap(target_, zombie_)) return {};
    return {fmt::format("a dead child, pid {}, that process {} did not take back", zombie_.pid, target_.pid())};
  }

  const ProcessId& target_;
  SameProgram program_;
  LeftChild zombie_;
  Gadgets gadgets_;
  std::optional<MemoryMap> map_;
  std::optional<ChildMemory> uncached_;
  std::optional<CachedMemory> memory_;
  FreezeFacts facts_;
  std::vector<pid_t> stragglers_;
  std::optional<ChildRunner> runner_;
  std::optional<TracedChild> traced_;
  bool released_ = false;
  std::unique_ptr<std::byte[]> reserve_;  // for the way back, when memory has run out
  std::unique_ptr<TracerThread> tracer_;  // ends first
};

[[noreturn]] void throw_no_child(bool* fallback, const std::string& why) {
  *fallback = true;
  throw Error(ExitCode::kGaveUp, fmt::format("no frozen copy can be made: {}", why), "--method stop needs none");
}

[[noreturn]] void throw_changed(pid_t pid, pid_t tid) {
  throw Error(ExitCode::kTargetHarmed, fmt::format("thread {} of {} is not as it was before the freeze", tid, pid),
              "please report this with the output of: memsnap doctor");
}

constexpr std::size_t kReserve = 4u << 20;

struct Prepared {
  MemoryMap map;
  Gadgets gadgets;
  SameProgram program;  // before the stop: right after it the target may already replace itself
  std::vector<LeftChild> left;
  std::unique_ptr<std::byte[]> reserve = std::make_unique_for_overwrite<std::byte[]>(kReserve);
};

// Everything that can be found out before anything stops.
Prepared prepare(const ProcessId& target, const FreezeOptions& options, bool* fallback) {
  const pid_t pid = target.pid();
  require_room(pid, options, fallback);
  MemoryMap map = MemoryMap::of(pid);
  const auto gadgets = find_gadgets(map, LiveMemory(pid));
  if (!gadgets) throw_no_child(fallback, "its program has no system call instruction that could be used");
  return {std::move(map), *gadgets, SameProgram(target, gadgets->system_call), left_children(pid)};
}

std::unique_ptr<ForkedProcess> fork_off(const ProcessId& target, const FreezeOptions& options, Prepared& prepared,
                                        bool* fallback) {
  const pid_t pid = target.pid();
  StoppedProcess stopped(target, {.wait = options.wait, .longest = options.max_pause});
  std::string why;
  const auto borrowed = borrow_thread(pid, stopped.stopped(), prepared.map, prepared.gadgets, &why);
  if (!borrowed) throw_no_child(fallback, why);
  for (const LeftChild& child : prepared.left) reap(*borrowed, child);
  const RemoteCall::Result cloned = borrowed->clone_child();
  if (cloned.value < 0 || cloned.child == 0) {
    borrowed->restore();
    throw_no_child(fallback, fmt::format("clone: {}", std::strerror(static_cast<int>(-cloned.value))));
  }
  auto frozen = std::make_unique<ForkedProcess>(
      target, std::move(prepared.program), LeftChild{cloned.child, static_cast<pid_t>(cloned.value)}, prepared.gadgets);
  frozen->keep_reserve(std::move(prepared.reserve));
  const bool same = borrowed->restore();
  const std::vector<pid_t> changed = stopped.changed();

  FreezeFacts facts;
  facts.method = Method::kFreeze;
  facts.threads = static_cast<std::uint32_t>(stopped.stopped().size());
  facts.threads_not_stopped = stopped.not_stopped();
  facts.held = stopped.held();
  facts.was_stopped = stopped.group_stopped();
  std::vector<pid_t> stragglers = stopped.release();
  facts.pause = stopped.stopped_for();
  if (!same || !changed.empty()) throw_changed(pid, changed.empty() ? pid : changed.front());
  frozen->start(borrowed->gate(), std::move(facts), std::move(stragglers));
  return frozen;
}

}  // namespace

std::unique_ptr<FrozenProcess> freeze_by_fork(const ProcessId& target, const FreezeOptions& options, Log& log,
                                              bool* fallback) {
  Prepared prepared = prepare(target, options, fallback);
  auto tracer = std::make_unique<TracerThread>();
  auto frozen = tracer->run([&] { return fork_off(target, options, prepared, fallback); });
  frozen->hand_over(std::move(tracer));
  if (!prepared.left.empty()) {
    log.info("reaped", fmt::format("{} dead child(ren) of an earlier memsnap taken back", prepared.left.size()));
  }
  return frozen;
}

}  // namespace memsnap
