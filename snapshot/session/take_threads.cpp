#include "snapshot/session/take_threads.h"

#include <fmt/format.h>

#include <chrono>
#include <memory>
#include <optional>
#include <utility>

#include "attach/cached_memory.h"
#include "attach/elf_image.h"
#include "attach/native_symbols.h"
#include "attach/stopped_look.h"
#include "attach/unwinder.h"
#include "snapshot/cpython/python_process.h"
#include "snapshot/session/target_info.h"
#include "snapshot/session/unless_ended.h"
#include "snapshot/threads/thread_reader.h"

namespace memsnap {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kProbeCache = 64u << 20;
constexpr int kLiveAttempts = 20;

class ThreadSession {
 public:
  ThreadSession(const ThreadsRequest& request, Log& log)
      : request_(request),
        log_(log),
        target_(ProcessId::open(request.pid, request.start_time)),
        map_(MemoryMap::of(request.pid)),
        live_(request.pid) {}

  SnapshotResult run() {
    const auto begin = steady_clock::now();
    describe_target();
    images_ = loaded_images(request_.pid, map_, live_);
    const PythonProcess python = unless_ended(target_, [&] { return verified_python(); });
    header().target.python = python.version.text();
    header().target.python_hex = python.version.hex();
    ThreadReader reader(request_.pid, read_tasks(request_.pid));
    if (request_.freeze.method == Method::kRead) {
      read_running(reader, python);
    } else {
      read_stopped(reader, python);
    }
    ThreadStacks stacks = reader.finish();
    stacks.partial = stacks.partial || header().partial;
    header().partial = stacks.partial;
    header().during_collection = stacks.collecting == Tristate::kYes;
    header().walk_ms = std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count();
    header().target_ended = !target_.alive();
    result_.snapshot.threads = std::move(stacks);
    return std::move(result_);
  }

 private:
  SnapshotHeader& header() { return result_.snapshot.header; }

  void describe_target() {
    header().kind = SnapshotKind::kTypes;
    header().target = read_target_info(request_.pid);
    const MemoryUse use = read_memory_use(request_.pid);
    header().memory = {.rss = use.rss, .pss = use.pss, .uss = use.uss, .python_objects = 0};
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    header().taken_at_ns = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  }

  // On the running process: layouts do not change when it stops. What changes under the reader's eyes is read again.
  PythonProcess verified_python() {
    for (int attempt = 1;; ++attempt) {
      try {
        const CachedMemory memory(live_, map_, kProbeCache);
        return find_python(request_.pid, images_, memory);
      } catch (const LayoutCheckFailed& failed) {
        if (attempt == kLiveAttempts) throw;
        log_.info("live_check", failed.what());
      }
    }
  }

  void read_running(ThreadReader& reader, const PythonProcess& python) {
    header().method = "read";
    header().consistent = false;
    const CachedMemory memory(live_, map_, kProbeCache);
    reader.read(memory, python, {});
    header().target.threads = static_cast<std::uint32_t>(reader.threads().size());
  }

  void read_stopped(ThreadReader& reader, const PythonProcess& python) {
    KeptMemory memory(request_.pid);
    const FreezeFacts facts = look_at_stopped(target_, request_.freeze, memory, [&](const auto& held) {
      reader.read(memory, python, held);
      if (request_.native) keep_stacks(memory, held);
    });
    memory.let_go(map_);
    if (request_.native) reader.unwind(memory, map_);
    NativeSymbols symbols(images_);
    reader.name_native(symbols);
    if (auto left = symbols.left_out()) header().warnings.push_back(*std::move(left));
    header().method = "stop";
    header().partial = facts.partial;
    header().pause_ms = std::chrono::duration<double, std::milli>(facts.pause).count();
    header().target.threads = facts.threads + facts.threads_not_stopped;
    if (facts.was_stopped) header().warnings.emplace_back("the process is stopped (SIGSTOP)");
    if (facts.threads_not_stopped != 0) {
      header().warnings.push_back(
          fmt::format("{} thread(s) in uninterruptible sleep were not stopped", facts.threads_not_stopped));
    }
  }

  // Python's stacks were read first: they come first when the time is short.
  void keep_stacks(KeptMemory& memory, const std::vector<HeldThread>& held) const {
    for (const HeldThread& thread : held) {
      const StackRange range = used_stack(thread.registers, map_);
      memory.keep(range.begin, range.end);
    }
  }

  const ThreadsRequest& request_;
  Log& log_;
  ProcessId target_;
  MemoryMap map_;
  LiveMemory live_;
  std::vector<std::unique_ptr<ElfImage>> images_;
  SnapshotResult result_;
};

}  // namespace

SnapshotResult take_threads(const ThreadsRequest& request, Log& log) { return ThreadSession(request, log).run(); }

}  // namespace memsnap
