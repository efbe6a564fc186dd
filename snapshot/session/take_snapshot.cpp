#include "snapshot/session/take_snapshot.h"

#include <elf.h>
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <fstream>
#include <memory>
#include <optional>
#include <utility>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/elf_image.h"
#include "attach/native_symbols.h"
#include "inject/control/left_tracking.h"
#include "snapshot/cpython/python_process.h"
#include "snapshot/memory/breakdown.h"
#include "snapshot/memory/resident_pages.h"
#include "snapshot/session/native_memory.h"
#include "snapshot/session/redact.h"
#include "snapshot/session/target_info.h"
#include "snapshot/session/unless_ended.h"
#include "snapshot/session/walked_heap.h"
#include "snapshot/threads/thread_reader.h"
#include "snapshot/walk/kept_text.h"

namespace memsnap {
namespace {

constexpr std::size_t kProbeCache = 64u << 20;
constexpr int kLiveAttempts = 20;

// 16 random bytes that the kernel gave the process at exec, getauxval(3): the same for each snapshot of it, and never
// stored.
std::array<std::uint64_t, 2> secret_of(pid_t pid, const ProcessMemory& memory) {
  std::ifstream file(fmt::format("/proc/{}/auxv", pid), std::ios::binary);
  Elf64_auxv_t entry{};
  while (file.read(reinterpret_cast<char*>(&entry), sizeof(entry)) && entry.a_type != AT_NULL) {
    if (entry.a_type == AT_RANDOM)
      return memory.try_read<std::array<std::uint64_t, 2>>(entry.a_un.a_val).value_or(std::array<std::uint64_t, 2>{});
  }
  return {};
}

const char* name_of(Method method) {
  switch (method) {
    case Method::kFreeze:
      return "freeze";
    case Method::kStop:
      return "stop";
    case Method::kRead:
      return "read";
    case Method::kCore:
      return "core";
    default:
      return "auto";
  }
}

// An agent that is in the process, by us or by another memsnap: not the process's own memory.
std::vector<Run> memory_of_ours(pid_t pid) {
  std::vector<Run> ranges;
  for (const FoundAgent& agent : find_agents(pid)) {
    const AgentPlace& place = agent.place;
    ranges.push_back({place.shared_begin, place.shared_end});
    ranges.push_back({place.image_begin, place.image_end});
    ranges.push_back({place.control, place.control == 0 ? 0 : place.control + kPageSize});
  }
  std::erase_if(ranges, [](const Run& range) { return range.begin >= range.end; });
  return ranges;
}

class Session {
 public:
  Session(const SnapshotRequest& request, Log& log)
      : request_(request), log_(log), target_(ProcessId::open(request.pid, request.start_time)) {}

  SnapshotResult run() {
    describe_target();
    look_at_pages();
    refuse_what_is_not_python();
    cancel_point();
    const bool all = !request_.totals_only;
    ThreadReader threads(request_.pid, all ? read_tasks(request_.pid) : std::vector<Task>());
    std::unique_ptr<FrozenProcess> frozen = freeze(target_, request_.freeze, log_);
    if (request_.when_frozen) request_.when_frozen();
    take_over(frozen->facts());
    const PythonProcess python = unless_ended(target_, [&] { return verified(*frozen); });
    if (all) or_warn("threads", [&] { threads.read(frozen->memory(), python, frozen->facts().held); });
    if (request_.native) or_warn("native stacks", [&] { threads.unwind(frozen->memory(), frozen->map()); });
    std::array<std::uint64_t, 2> hash_key{};
    if (request_.strings == StringsPolicy::kHash) hash_key = secret_of(request_.pid, frozen->memory());
    auto late_roots = walk_into(result_.snapshot, *frozen, python, request_, hash_key, log_);
    or_warn("resident memory", [&] { account(*frozen, python, late_roots); });
    result_.left_behind = frozen->release();
    if (all) or_warn("names of threads", [&] { name_threads(threads); });
    frozen.reset();
    header().target_ended = !target_.alive();
    analyse(result_.snapshot, std::move(late_roots), log_);
    redact(result_.snapshot, request_.redact);
    return std::move(result_);
  }

 private:
  SnapshotHeader& header() { return result_.snapshot.header; }

  void cancel_point() const {
    if (request_.cancelled && request_.cancelled()) throw Error(ExitCode::kGaveUp, "cancelled", "");
  }

  // The objects are what a snapshot is for: where something else cannot be read, it is said, and they are kept.
  template <class Function>
  void or_warn(const char* what, const Function& read) {
    try {
      read();
    } catch (const Error& error) {
      header().warnings.push_back(fmt::format("{} could not be read: {}", what, error.what()));
    }
  }

  void describe_target() {
    header().target = read_target_info(request_.pid);
    header().taken_at_ns =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
  }

  // On the running process, so that what is no supported Python is refused before it is stopped. It changes while it is
  // read: a check that fails here is only final on the frozen copy.
  void refuse_what_is_not_python() const {
    const MemoryMap map = MemoryMap::of(request_.pid);
    const LiveMemory live(request_.pid);
    const CachedMemory memory(live, map, kProbeCache);
    try {
      unless_ended(target_, [&] { return find_python(request_.pid, loaded_images(request_.pid, map, live), memory); });
    } catch (const LayoutCheckFailed& failed) {
      log_.info("live_check", failed.what());
    }
  }

  // Of the process itself, for the copy's own pages are others, and before anything else: reading its libraries makes
  // more of them resident.
  void look_at_pages() {
    MemoryUse use;
    try {
      if (!request_.totals_only)
        resident_ = ResidentPages::of(request_.pid, {.leave_out = memory_of_ours(request_.pid)});
      use = resident_ ? resident_->use() : read_memory_use(request_.pid);
    } catch (const Error& error) {
      if (error.code() == ExitCode::kNoSuchProcess) throw;
      use = read_memory_use(request_.pid);
      header().warnings.push_back(fmt::format("resident memory is not accounted for: {}", error.what()));
    }
    header().memory.rss = use.rss;
    header().memory.pss = use.pss;
    header().memory.uss = use.uss;
  }

  PythonProcess verified(const FrozenProcess& frozen) {
    try {
      return verified_python(frozen);
    } catch (const Error&) {
      if (!frozen.lost()) throw;
      target_.require_alive();
      throw Error(ExitCode::kGaveUp, "the frozen copy ended before it could be read",
                  "it became another program, or its memory limit is too near");
    }
  }

  PythonProcess verified_python(const FrozenProcess& frozen) {
    images_ = loaded_images(request_.pid, frozen.map(), frozen.memory());
    if (frozen.facts().consistent) return find_python(request_.pid, images_, frozen.memory());
    const LiveMemory live(request_.pid);
    for (int attempt = 1;; ++attempt) {  // nothing stands still: read again, past the cache
      try {
        return find_python(request_.pid, images_, live);
      } catch (const LayoutCheckFailed&) {
        if (attempt == kLiveAttempts) throw;
      }
    }
  }

  // After the release: files are read for it, and the copy costs the target as long as it lives.
  void name_threads(ThreadReader& threads) {
    NativeSymbols symbols(images_);
    threads.name_native(symbols);
    if (auto left = symbols.left_out()) header().warnings.push_back(*std::move(left));
    result_.snapshot.threads = threads.finish();
  }

  void take_over(const FreezeFacts& facts) {
    header().method = name_of(facts.method);
    header().fallback_reason = facts.fallback_reason;
    header().consistent = facts.consistent;
    header().partial = facts.partial;
    header().pause_ms = std::chrono::duration<double, std::milli>(facts.pause).count();
    header().target.threads = facts.threads + facts.threads_not_stopped;
    if (facts.threads_not_stopped != 0) {
      header().warnings.push_back(
          fmt::format("{} thread(s) in uninterruptible sleep were not stopped", facts.threads_not_stopped));
    }
  }

  void account(FrozenProcess& frozen, const PythonProcess& python, std::vector<Root>& late_roots) {
    if (!resident_) return;
    log_.progress("accounting for resident memory", 0, 0);
    const Stopwatch watch;
    const MallocUse use = account_for_memory(frozen, frozen.child(), python, images_, result_.snapshot.graph,
                                             *resident_, header().memory);
    header().memory.parts_ms = watch.wall_ms();
    header().memory.parts_cpu_ms = watch.cpu_ms();
    if (!request_.native_memory || request_.kind != SnapshotKind::kHeap) return;
    log_.progress("native memory", 0, 0);
    add_native_memory(result_.snapshot, late_roots, frozen.memory(), python.layout, use);
  }

  const SnapshotRequest& request_;
  Log& log_;
  ProcessId target_;
  std::optional<ResidentPages> resident_;
  std::vector<std::unique_ptr<ElfImage>> images_;
  SnapshotResult result_;
};

}  // namespace

SnapshotResult take_snapshot(const SnapshotRequest& request, Log& log) { return Session(request, log).run(); }

}  // namespace memsnap
