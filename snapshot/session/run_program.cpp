#include "snapshot/session/run_program.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <memory>
#include <utility>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/elf_image.h"
#include "attach/memory_map.h"
#include "attach/process_id.h"
#include "attach/tracee_wait.h"
#include "inject/control/tracking.h"
#include "snapshot/capture/native_frames.h"
#include "snapshot/cpython/allocator_structs.h"
#include "snapshot/cpython/initialized_word.h"
#include "snapshot/cpython/python_process.h"
#include "snapshot/session/lease_renewal.h"
#include "snapshot/session/stack_config.h"
#include "snapshot/session/target_info.h"
#include "snapshot/threads/tasks.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kProbeCache = 16u << 20;
constexpr milliseconds kTick{2};         // between looks at words that the agent writes
constexpr milliseconds kPoll{50};        // for libraries that nobody announced, and the lease
constexpr milliseconds kBurst{100};      // a library that was announced is looked for so long, at each tick
constexpr milliseconds kFirstSlice{20};  // what has run for a short time is read more often
constexpr int kSlicesSoFar = 20;
constexpr milliseconds kPollForPython{2};  // while the program is attached to without debug registers
constexpr std::chrono::seconds kStartLimit{
    10};  // memsnap's death would end a program that works long before it is Python
constexpr milliseconds kMostForPython{200};
constexpr int kReadingsForPause = 20;         // a reading takes at most 1 / so much of the time
constexpr std::chrono::hours kSuspended{24};  // memsnap itself is stopped, and the program most likely too

double in_ms(std::chrono::nanoseconds time) { return std::chrono::duration<double, std::milli>(time).count(); }

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class Run {
 public:
  Run(const RunRequest& request, Log& log) : request_(request), log_(log) {}

  RunResult run() {
    {
      LaunchedProcess launched(request_.command, [this] { attend(milliseconds(0)); });
      pid_ = launched.pid();
      if (request_.launched) request_.launched(pid_);
      begin_or_less(launched);
    }
    or_less([&] { record(); });
    or_less([&] { finish(); });
    while (!has_ended(pid_)) attend(kPoll);
    while (::waitpid(pid_, &result_.status, __WALL) < 0 && errno == EINTR) {
    }
    return std::move(result_);
  }

 private:
  void begin_or_less(LaunchedProcess& launched) {
    bool failed = false;
    try {
      begin(launched);
    } catch (const Error& error) {
      result_.refusal = error.what();
      failed = true;
    }
    launched.let_go();
    // Only now: what is held by one tracer cannot be stopped by another, to take the agent out.
    if (failed && tracking_) or_less([&] { result_.left_behind = tracking_->stop().left_behind; });
    if (failed) tracking_.reset();
  }

  // What was recorded is kept.
  template <class Work>
  void or_less(const Work& work) {
    try {
      work();
    } catch (const Error& error) {
      if (!tracking_) result_.refusal = error.what();
      if (tracking_ && !has_ended(pid_))
        warn("recording_ended", fmt::format("recording ended early: {}", error.what()));
    }
  }

  void warn(const char* event, const std::string& text) {
    log_.warning(event, text);
    result_.warnings.push_back(text);
  }

  // The agent's lease outlasts a stop of memsnap itself.
  void attend(milliseconds wait) {
    const auto now = steady_clock::now();
    if (tracking_ && now - renewed_ > request_.tracking.lease && health_ == Tracking::Health::kGood)
      warn("suspended", fmt::format("memsnap could not run for {:.0f} s: allocations of that time may be missing",
                                    in_ms(now - renewed_) / 1000));
    if (tracking_ && now - renewed_ > kPoll && health_ != Tracking::Health::kGone) renew({});
    if (!request_.attend || !request_.attend(wait)) return;
    if (tracking_) renew(kSuspended);
    ::raise(SIGSTOP);
    if (tracking_) renew({});
  }

  void renew(milliseconds longer) {
    health_ = tracking_->renew_lease(longer);
    renewed_ = steady_clock::now();
  }

  // From the program's start until its interpreter is there.
  void begin(LaunchedProcess& launched) {
    using Reached = LaunchedProcess::Reached;
    if (!request_.debug_registers) return;
    for (Reached reached = launched.run_to_entry();;) {
      if (reached == Reached::kEnded) return tell_never_python();
      if (reached == Reached::kRefused) return tell_late("the kernel gives no debug registers");
      const auto began = steady_clock::now();
      const auto python = load(launched);
      if (!python) {
        reached = launched.run_to_program();
        if (reached == Reached::kProgram) reached = launched.run_to_entry();
        continue;
      }
      const auto loaded = steady_clock::now();
      if (python->initialized == 0) return tell_late("its Py_IsInitialized() is of an unknown form");
      reached = launched.run_to_write(python->initialized, kStartLimit);
      if (reached == Reached::kEnded) return;
      if (reached == Reached::kRefused) return tell_late("the kernel gives no debug registers");
      if (reached == Reached::kLate) return tell_late("it takes long to start its interpreter");
      if (reached == Reached::kProgram) {
        tracking_->forget();
        tracking_.reset();
        reached = launched.run_to_entry();
        continue;
      }
      const auto ready = steady_clock::now();
      add_stacks(20);
      result_.from_start = true;
      result_.start_ms = in_ms(steady_clock::now() - began);
      result_.held_ms = in_ms(loaded - began + (steady_clock::now() - ready));
      return;
    }
  }

  void tell_never_python() {
    result_.refusal = "the command never became a CPython; only its own process is tracked, not those it starts";
  }
  void tell_late(const char* why) {
    log_.info("late", fmt::format("it is attached to when its interpreter is there: {}", why));
  }

  // At the entry of a program. Empty: it is no CPython.
  std::optional<UninitializedPython> load(LaunchedProcess& launched) {
    const MemoryMap map = MemoryMap::of(pid_);
    const LiveMemory live(pid_);
    const auto images = loaded_images(pid_, map, live);
    auto python = find_uninitialized_python(images, live);
    if (!python) return std::nullopt;
    target_.emplace(ProcessId::open(pid_));
    TrackingSetup setup = plain_setup();
    setup.holder = &launched.tracer();
    if (wants_domains()) {
      PythonProcess place;
      place.runtime = python->runtime;
      hook_domains(setup, find_allocator_structs(live, map, images, place));
    }
    start(setup);
    return python;
  }

  TrackingSetup plain_setup() const {
    TrackingSetup setup;
    setup.period = request_.tracking.period;
    setup.depth = request_.tracking.depth;
    setup.mappings = request_.tracking.mappings;
    setup.limits = request_.tracking.limits;
    setup.lease = request_.tracking.lease;
    setup.to_exit = waits_at_exit();
    setup.config.native = request_.tracking.native ? 1 : 0;
    setup.config.domains_pass = request_.tracking.python_objects ? 0 : 1;
    return setup;
  }

  // For a look at its objects, or to name its last native frames, while it has its memory.
  bool waits_at_exit() const { return request_.look_at_exit || request_.tracking.native; }
  // For the look at the exit too: they are called right at the beginning of the end.
  bool wants_domains() const { return request_.tracking.python_objects || waits_at_exit(); }

  void hook_domains(TrackingSetup& setup, const std::optional<AllocatorStructs>& structs) {
    if (!structs) return warn_no_domains();
    setup.allocator_mem = structs->mem;
    setup.allocator_obj = structs->obj;
  }
  void warn_no_domains() {
    warn(
        "no_python_domain",
        "Python's small blocks are tracked only as far as they come from malloc: its allocators are not pymalloc's own "
        "(PYTHONMALLOC, -X dev, tracemalloc)");
  }

  void start(const TrackingSetup& setup) {
    tracking_ = Tracking::start(*target_, setup, log_);
    result_.load_ms = in_ms(tracking_->facts().pause);
    renewed_ = steady_clock::now();
    const std::string left_out = native_left_out(tracking_->facts());
    if (!left_out.empty()) warn("native_left_out", left_out);
  }

  // The interpreter is there. `attempts`: it may be changing while it is looked at.
  void add_stacks(int attempts) {
    const MemoryMap map = MemoryMap::of(pid_);
    const LiveMemory live(pid_);
    const auto images = loaded_images(pid_, map, live);
    for (int attempt = 1;; ++attempt) {
      try {
        const PythonProcess python = find_python(pid_, images, CachedMemory(live, map, kProbeCache));
        const AgentConfig config = stack_config(images, python);
        if (tracking_) {
          if (!tracking_->add_stacks(config, python.version.hex()))
            throw Error(ExitCode::kGaveUp, "the agent's configuration cannot be written", "");
          if (!tracking_->domains_hooked()) warn_no_domains();
        } else {
          load_late(config, python, live, map, images);
        }
        stacks_ = true;
        result_.target = read_target_info(pid_);
        result_.target.python = python.version.text();
        result_.target.python_hex = python.version.hex();
        if (config.thread_state == 0) warn("no_stacks", "the program exports no PyGILState: no stacks are recorded");
        return;
      } catch (const LayoutCheckFailed&) {
        if (attempt >= attempts) throw;
      }
    }
  }

  void load_late(const AgentConfig& config, const PythonProcess& python, const ProcessMemory& live,
                 const MemoryMap& map, const std::vector<std::unique_ptr<ElfImage>>& images) {
    if (!target_) target_.emplace(ProcessId::open(pid_));
    TrackingSetup setup = plain_setup();
    const AgentConfig plain = std::exchange(setup.config, config);
    setup.config.native = plain.native;
    setup.config.domains_pass = plain.domains_pass;
    setup.python_hex = python.version.hex();
    if (wants_domains()) hook_domains(setup, find_allocator_structs(live, map, images, python));
    start(setup);
  }

  // Looks for an interpreter that comes up while nobody holds the program. False: the program has ended.
  bool wait_for_python() {
    const auto began = steady_clock::now();
    while (!has_ended(pid_)) {
      try {
        add_stacks(1);
        return true;
      } catch (const Error& error) {
        if (error.code() != ExitCode::kUnsupported && error.code() != ExitCode::kNoSuchProcess) throw;
        result_.refusal = error.what();
      }
      const auto waited = std::chrono::duration_cast<milliseconds>(steady_clock::now() - began);
      attend(std::clamp(waited / 100, kPollForPython, kMostForPython));
    }
    return tracking_ != nullptr;
  }

  void record() {
    if (!result_.refusal.empty() || (!stacks_ && !wait_for_python())) return;
    result_.refusal.clear();
    open_tables();
    began_ = steady_clock::now();
    auto next_slice = began_ + kFirstSlice;
    while (!has_ended(pid_)) {
      attend(kTick);
      if (health_ == Tracking::Health::kGone) return wait_for_exit();
      if (health_ == Tracking::Health::kMemoryShort)
        return warn("memory_short", "recording ended early: the memory limit of the program is near");
      poll_libraries();
      if (request_.look_wanted && request_.look_wanted()) look(request_.look);
      if (!seen_at_exit_ && tracking_->waits_at_exit()) look_at_exit();
      if (steady_clock::now() >= next_slice) next_slice = read_slice();
    }
  }

  // Its memory is gone: it is on its way out, or has become another program.
  void wait_for_exit() {
    while (!has_ended(pid_) && !has_memory()) attend(kPollForPython);
  }

  bool has_memory() const {
    try {
      return !MemoryMap::of(pid_).mappings().empty();
    } catch (const Error&) {  // none of its own any more
      return false;
    }
  }

  void open_tables() {
    FileDescriptor file(::fcntl(tracking_->descriptor(), F_DUPFD_CLOEXEC, 0));
    tables_.emplace(std::move(file));
    if (request_.tracking.native) native_frames_.emplace(pid_);
    recorder_.emplace(*tables_, native_frames_ ? native_frames_->names() : NativeNames{});
  }

  steady_clock::time_point read_slice() {
    const auto began = steady_clock::now();
    recorder_->add(tables_->read(), now_ns(), resident());
    name_threads();
    const auto now = steady_clock::now();
    const auto usual =
        std::clamp<steady_clock::duration>((now - began_) / kSlicesSoFar, kFirstSlice, request_.tracking.slice);
    return now + std::max<steady_clock::duration>(usual, kReadingsForPause * (now - began));
  }

  void poll_libraries() {
    const auto now = steady_clock::now();
    const std::uint64_t loads = tracking_->loads();
    if (std::exchange(loads_, loads) != loads) burst_ = now + kBurst;
    if (now > burst_ && now - polled_ < kPoll) return;
    polled_ = now;
    tracking_->poll_new_libraries();
  }

  void look_at_exit() {
    seen_at_exit_ = true;
    if (request_.look_at_exit) look(request_.look_at_exit);
    if (request_.tracking.native) read_slice();
    tracking_->go_on_to_exit();
  }

  void look(const std::function<void(const TableReader&, SliceRecorder&)>& how) {
    const LeaseRenewal renewal(*tracking_, request_.tracking.lease);
    try {
      how(*tables_, *recorder_);
    } catch (const Error& error) {
      warn("no_snapshot", fmt::format("there is no snapshot: {}", error.what()));
    }
    renewed_ = steady_clock::now();
  }

  std::uint64_t resident() {
    try {
      const MemoryUse use = read_memory_use(pid_);
      result_.memory.rss = use.rss;
      result_.memory.pss = use.pss;
      result_.memory.uss = use.uss;
      return use.rss;
    } catch (const Error&) {
      return 0;  // it has ended
    }
  }

  void name_threads() {
    for (const Task& task : read_tasks(pid_))
      recorder_->name_thread(static_cast<std::uint32_t>(task.inner_tid), task.name);
  }

  void finish() {
    if (!tracking_) return;
    if (request_.look_at_exit && !seen_at_exit_)
      warn("no_snapshot", "there is no snapshot at exit: the interpreter was not ended in the usual way");
    if (!tables_) open_tables();
    recorder_->add(tables_->read(), now_ns(), 0);
    result_.profile = recorder_->finish();
    if (const auto left = native_frames_ ? native_frames_->left_out() : std::nullopt) warn("no_names", *left);
    result_.left_behind = tracking_->stop().left_behind;
    tracking_.reset();
  }

  const RunRequest& request_;
  Log& log_;
  RunResult result_;
  pid_t pid_ = 0;
  std::optional<ProcessId> target_;
  std::unique_ptr<Tracking> tracking_;
  std::optional<TableReader> tables_;
  std::optional<NativeFrames> native_frames_;
  std::optional<SliceRecorder> recorder_;
  Tracking::Health health_ = Tracking::Health::kGood;
  steady_clock::time_point renewed_{};
  bool stacks_ = false;
  bool seen_at_exit_ = false;
  std::uint64_t loads_ = 0;
  steady_clock::time_point began_{}, burst_{}, polled_{};
};

}  // namespace

RunResult run_program(const RunRequest& request, Log& log) { return Run(request, log).run(); }

}  // namespace memsnap
