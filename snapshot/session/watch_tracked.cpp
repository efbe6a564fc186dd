#include "snapshot/session/watch_tracked.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "attach/base/error.h"
#include "attach/process_id.h"
#include "snapshot/capture/native_frames.h"
#include "snapshot/threads/tasks.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kPoll{50};
constexpr int kReadingsForPause = 20;  // a reading takes at most 1 / so much of the time

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::uint64_t resident(pid_t pid) {
  try {
    return read_memory_use(pid).rss;
  } catch (const Error&) {
    return 0;  // it has ended
  }
}

void add_reading(pid_t pid, const TableReader& tables, SliceRecorder& recorder) {
  for (const Task& task : read_tasks(pid)) {
    recorder.name_thread(static_cast<std::uint32_t>(task.inner_tid), task.name);
  }
  recorder.add(tables.read(), now_ns(), resident(pid));
}

}  // namespace

void watch_tracked(pid_t pid, const TrackedProcess& tracked, const TrackingRequest& request) {
  const ProcessId target = ProcessId::open(pid);
  NativeFrames native_frames(pid);
  SliceRecorder recorder(tracked.tables, native_frames.names());
  add_reading(pid, tracked.tables, recorder);  // what there was before is of no slice that is shown
  const auto began = steady_clock::now();
  auto next = began + request.slice;
  while (target.alive() && is_recording(pid, tracked.agent.place)) {
    const auto now = steady_clock::now();
    if (request.cancelled && request.cancelled()) return;
    if (request.duration.count() != 0 && now - began >= request.duration) return;
    if (now >= next) {
      add_reading(pid, tracked.tables, recorder);
      if (request.on_slice) request.on_slice(std::chrono::duration_cast<milliseconds>(now - began), recorder);
      const auto took = steady_clock::now() - now;
      next = now + std::max<steady_clock::duration>(request.slice, kReadingsForPause * took);
    }
    std::this_thread::sleep_for(std::min<steady_clock::duration>(kPoll, request.slice));
  }
}

}  // namespace memsnap
