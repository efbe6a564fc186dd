#include "snapshot/session/track_allocations.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "attach/base/error.h"
#include "attach/base/file_descriptor.h"
#include "attach/cached_memory.h"
#include "attach/elf_image.h"
#include "attach/memory_map.h"
#include "attach/process_id.h"
#include "inject/control/tracking.h"
#include "snapshot/capture/native_frames.h"
#include "snapshot/cpython/allocator_structs.h"
#include "snapshot/cpython/python_process.h"
#include "snapshot/session/lease_renewal.h"
#include "snapshot/session/stack_config.h"
#include "snapshot/session/unless_ended.h"
#include "snapshot/threads/tasks.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr std::size_t kProbeCache = 16u << 20;
constexpr milliseconds kPoll{50};      // for new libraries, the lease and the end
constexpr int kReadingsForPause = 20;  // a reading takes at most 1 / so much of the time
constexpr int kLiveAttempts = 20;

double in_ms(std::chrono::nanoseconds time) { return std::chrono::duration<double, std::milli>(time).count(); }

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

class Recording {
 public:
  Recording(const TrackingRequest& request, Log& log)
      : request_(request), log_(log), target_(ProcessId::open(request.pid, request.start_time)) {}

  TrackingResult run() {
    tracking_ = Tracking::start(target_, setup(), log_);
    result_.load_ms = in_ms(tracking_->facts().pause);
    FileDescriptor tables_file(::fcntl(tracking_->descriptor(), F_DUPFD_CLOEXEC, 0));
    const TableReader tables(std::move(tables_file));
    NativeFrames native_frames(request_.pid);
    SliceRecorder recorder(tables, request_.native ? native_frames.names() : NativeNames{});
    tell_left_out();
    try {
      if (request_.on_start) request_.on_start({.target = target_, .place = tracking_->facts().place});
      record(tables, recorder);
      name_threads(recorder);
      if (request_.before_end && !result_.target_ended) look(request_.before_end, tables, recorder);
    } catch (const Error& error) {
      if (!is_of_its_end(error)) {
        before_unload();
        throw;
      }
      note_end_of_target();
    } catch (...) {
      before_unload();
      throw;
    }
    before_unload();
    end();
    recorder.add(tables.read(), now_ns(), resident());
    result_.profile = recorder.finish();
    if (const auto left = native_frames.left_out()) warn("no_names", *left);
    return std::move(result_);
  }

 private:
  TrackingSetup setup() {
    TrackingSetup setup;
    setup.period = request_.period;
    setup.depth = request_.depth;
    setup.mappings = request_.mappings;
    setup.limits = request_.limits;
    setup.lease = request_.lease;
    const MemoryMap map = MemoryMap::of(request_.pid);
    const LiveMemory live(request_.pid);
    const auto images = loaded_images(request_.pid, map, live);
    const PythonProcess python = unless_ended(target_, [&] { return find(images, map, live); });
    setup.python_hex = python.version.hex();
    setup.config = stack_config(images, python);
    setup.config.native = request_.native ? 1 : 0;
    if (setup.config.thread_state == 0) warn("no_stacks", "the program exports no PyGILState: no stacks are recorded");
    if (request_.python_objects) add_domains(setup, live, map, images, python);
    return setup;
  }

  // It changes while it is read: a failed check is tried again.
  PythonProcess find(const std::vector<std::unique_ptr<ElfImage>>& images, const MemoryMap& map,
                     const ProcessMemory& live) const {
    for (int attempt = 1;; ++attempt) {
      try {
        return find_python(request_.pid, images, CachedMemory(live, map, kProbeCache));
      } catch (const LayoutCheckFailed&) {
        if (attempt == kLiveAttempts) throw;
      }
    }
  }

  void add_domains(TrackingSetup& setup, const ProcessMemory& live, const MemoryMap& map,
                   const std::vector<std::unique_ptr<ElfImage>>& images, const PythonProcess& python) {
    if (const auto structs = find_allocator_structs(live, map, images, python)) {
      setup.allocator_mem = structs->mem;
      setup.allocator_obj = structs->obj;
    } else {
      warn("no_python_domain",
           "Python's small blocks are not tracked: its allocators are not pymalloc's own (PYTHONMALLOC, tracemalloc)");
    }
  }

  void tell_left_out() {
    const std::string text = native_left_out(tracking_->facts());
    if (!text.empty()) warn("native_left_out", text.c_str());
  }

  void record(const TableReader& tables, SliceRecorder& recorder) {
    const auto began = steady_clock::now();
    auto next_slice = began + request_.slice;
    for (;;) {
      const auto now = steady_clock::now();
      const bool over = request_.duration.count() != 0 && now - began >= request_.duration;
      if (over) return end_because("the time was over");
      if (request_.cancelled && request_.cancelled()) return end_because("it was asked to end");
      const Tracking::Health health = tracking_->renew_lease();
      if (health == Tracking::Health::kGone) {
        return note_end_of_target();
      }
      if (health == Tracking::Health::kMemoryShort) return end_early("the memory limit of the target is near");
      tracking_->poll_new_libraries();
      if (request_.on_poll) request_.on_poll();
      if (request_.wants_snapshot && request_.wants_snapshot()) look(request_.on_demand, tables, recorder);
      if (now >= next_slice) {
        std::string limit;
        next_slice = now + read_slice(tables, recorder, now - began, limit);
        if (!limit.empty()) return end_early(limit);
      }
      std::this_thread::sleep_for(kPoll);
    }
  }

  void end_because(const std::string& why) { result_.end_reason = why; }
  void end_early(const std::string& why) {
    end_because(why);
    warn("ended_early", "recording ended early: " + why);
  }
  void before_unload() const {
    if (request_.before_unload) request_.before_unload();
  }

  // Returns the time to the next. `limit`: why recording shall end.
  steady_clock::duration read_slice(const TableReader& tables, SliceRecorder& recorder, steady_clock::duration run_for,
                                    std::string& limit) {
    const auto began = steady_clock::now();
    const TableReading reading = tables.read();
    recorder.add(reading, now_ns(), resident());
    name_threads(recorder);
    if (request_.limit_reached) limit = request_.limit_reached(reading, recorder);
    if (request_.on_slice) request_.on_slice(std::chrono::duration_cast<milliseconds>(run_for), recorder);
    return std::max<steady_clock::duration>(request_.slice, kReadingsForPause * (steady_clock::now() - began));
  }

  void look(const TrackingRequest::Look& look_at, const TableReader& tables, SliceRecorder& recorder) {
    const LeaseRenewal renewal(*tracking_, request_.lease);
    look_at(tables, recorder);
  }

  std::uint64_t resident() const {
    try {
      return read_memory_use(request_.pid).rss;
    } catch (const Error&) {
      return 0;  // it has ended
    }
  }

  void name_threads(SliceRecorder& recorder) const {
    for (const Task& task : read_tasks(request_.pid)) {
      recorder.name_thread(static_cast<std::uint32_t>(task.inner_tid), task.name);
    }
  }

  // A process that is just ending fails in many ways, some before it can be seen that it has.
  bool is_of_its_end(const Error& error) const {
    constexpr milliseconds kEnding{1000};
    if (error.code() == ExitCode::kTargetHarmed) return false;
    const auto deadline = steady_clock::now() + kEnding;
    while (target_.alive() && steady_clock::now() < deadline) std::this_thread::sleep_for(kPoll);
    return !target_.alive();
  }

  void note_end_of_target() {
    result_.target_ended = true;
    end_because("the process ended");
  }

  void end() {
    TrackingEnd end;
    try {
      end = tracking_->stop();
    } catch (const Error& error) {
      if (!is_of_its_end(error)) throw;
      return note_end_of_target();
    }
    result_.unload_ms = in_ms(std::max({end.unhook_pause, end.proof_pause, end.unmap_pause}));
    result_.left_behind = std::move(end.left_behind);
    result_.hooks_undone = end.patches_undone;
  }

  void warn(const char* event, const std::string& text) {
    log_.warning(event, text);
    result_.warnings.push_back(text);
  }

  const TrackingRequest& request_;
  Log& log_;
  ProcessId target_;
  std::unique_ptr<Tracking> tracking_;
  TrackingResult result_;
};

}  // namespace

TrackingResult track_allocations(const TrackingRequest& request, Log& log) { return Recording(request, log).run(); }

}  // namespace memsnap
