#include "snapshot/session/take_snapshot.h"

#include <elf.h>
#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstring>
#include <ctime>
#include <fstream>
#include <memory>
#include <optional>
#include <utility>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/elf_image.h"
#include "attach/native_symbols.h"
#include "snapshot/analysis/ownership.h"
#include "snapshot/analysis/retained.h"
#include "snapshot/analysis/suspects.h"
#include "snapshot/analysis/unknown_roots.h"
#include "snapshot/cpython/python_process.h"
#include "snapshot/memory/breakdown.h"
#include "snapshot/memory/resident_pages.h"
#include "snapshot/session/target_info.h"
#include "snapshot/threads/thread_reader.h"
#include "snapshot/walk/heap_walker.h"
#include "snapshot/walk/plan.h"

namespace memsnap {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kProbeCache = 64u << 20;
constexpr int kLiveAttempts = 20;

double milliseconds_since(steady_clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(steady_clock::now() - begin).count();
}

double own_cpu_ms() {
  timespec time{};
  if (::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

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
    default:
      return "auto";
  }
}

class Session {
 public:
  Session(const SnapshotRequest& request, Log& log)
      : request_(request), log_(log), target_(ProcessId::open(request.pid)) {}

  SnapshotResult run() {
    describe_target();
    look_at_pages();
    refuse_what_is_not_python();
    cancel_point();
    ThreadReader threads(request_.pid, read_tasks(request_.pid));
    std::unique_ptr<FrozenProcess> frozen = freeze(target_, request_.freeze, log_);
    take_over(frozen->facts());
    const PythonProcess python = verified_python(*frozen);
    header().target.python = python.version.text();
    header().target.python_hex = python.version.hex();
    threads.read(frozen->memory(), python, frozen->facts().held);
    if (request_.native) threads.unwind(frozen->memory(), frozen->map());
    walk(*frozen, python);
    result_.left_behind = frozen->release();
    name_threads(threads);
    frozen.reset();
    header().target_ended = !target_.alive();
    if (request_.kind == SnapshotKind::kHeap) {
      analyse();
    } else {
      keep_types_only();
    }
    return std::move(result_);
  }

 private:
  SnapshotHeader& header() { return result_.snapshot.header; }
  HeapGraph& graph() { return result_.snapshot.graph; }

  void cancel_point() const {
    if (request_.cancelled && request_.cancelled()) throw Error(ExitCode::kGaveUp, "cancelled", "");
  }

  void describe_target() {
    header().target = read_target_info(request_.pid);
    header().taken_at_ns =
        std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    header().kind = request_.kind;
    header().strings = request_.strings;
    header().strings_prefix = request_.strings_prefix;
    header().redacted = !request_.redact.empty();
  }

  // On the running process, so that what is no supported Python is refused before it is stopped. It changes while it is
  // read: a check that fails here is only final on the frozen copy.
  void refuse_what_is_not_python() const {
    const MemoryMap map = MemoryMap::of(request_.pid);
    const LiveMemory live(request_.pid);
    const CachedMemory memory(live, map, kProbeCache);
    try {
      find_python(request_.pid, loaded_images(request_.pid, map, live), memory);
    } catch (const LayoutCheckFailed& failed) {
      log_.info("live_check", failed.what());
    }
  }

  // Of the process itself, for the copy's own pages are others, and before anything else: reading its libraries makes
  // more of them resident.
  void look_at_pages() {
    MemoryUse use;
    try {
      resident_ = ResidentPages::of(request_.pid);
      use = resident_->use();
    } catch (const Error& error) {
      if (error.code() == ExitCode::kNoSuchProcess) throw;
      use = read_memory_use(request_.pid);
      header().warnings.push_back(fmt::format("resident memory is not accounted for: {}", error.what()));
    }
    header().memory.rss = use.rss;
    header().memory.pss = use.pss;
    header().memory.uss = use.uss;
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
    ThreadStacks& stacks = result_.snapshot.threads.emplace(threads.finish());
    if (!request_.redact.empty()) redact(stacks);
  }

  void redact(ThreadStacks& stacks) const {
    const Redactor redactor(request_.redact);
    StringTable strings;
    std::vector<StringId> moved;
    for (StringId id = 0; id < stacks.strings.size(); ++id)
      moved.push_back(strings.add(redactor.apply(std::string(stacks.strings.text(id)))));
    for (ThreadStack& thread : stacks.threads) {
      thread.name = moved[thread.name];
      thread.waits = moved[thread.waits];
    }
    for (StackFrame& frame : stacks.frames) {
      frame.function = moved[frame.function];
      frame.file = moved[frame.file];
    }
    stacks.strings = std::move(strings);
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

  void walk(FrozenProcess& frozen, const PythonProcess& python) {
    const auto begin = steady_clock::now();
    const double cpu_begin = own_cpu_ms();
    const WalkPlan plan = make_plan(frozen.memory(), frozen.map(), python, log_);
    WalkOptions options;
    options.keep_edges = request_.kind == SnapshotKind::kHeap;
    options.texts.policy = request_.strings;
    options.texts.prefix = request_.strings_prefix;
    if (request_.strings == StringsPolicy::kHash) options.texts.hash_key = secret_of(request_.pid, frozen.memory());
    options.redact = request_.redact;
    options.cancelled = request_.cancelled;
    WalkResult walked = walk_heap(frozen, plan, options, log_);
    header().walk_ms = milliseconds_since(begin);
    header().walk_cpu_ms = own_cpu_ms() - cpu_begin;
    header().during_collection = plan.during_collection;
    fill_header(walked);
    graph() = std::move(walked.graph);
    account(frozen, python);
    late_roots_ = std::move(walked.late_roots);
  }

  void account(FrozenProcess& frozen, const PythonProcess& python) {
    if (!resident_) return;
    log_.progress("accounting for resident memory", 0, 0);
    const auto begin = steady_clock::now();
    const double cpu_begin = own_cpu_ms();
    account_for_memory(frozen, frozen.child(), python, images_, graph(), *resident_, header().memory);
    header().memory.parts_ms = milliseconds_since(begin);
    header().memory.parts_cpu_ms = own_cpu_ms() - cpu_begin;
  }

  void fill_header(WalkResult& walked) {
    header().objects = walked.objects;
    header().edges = walked.graph.edge_count();
    header().bytes = walked.bytes;
    header().memory.python_objects = walked.bytes;
    header().unreadable = walked.unreadable;
    header().skipped = walked.skipped;
    header().orphans = walked.orphans;
    header().orphan_bytes = walked.orphan_bytes;
    header().partial = header().partial || walked.partial;
    header().child_cpu_ms = walked.child_cpu_ms;
    header().duplicates = std::move(walked.duplicates);
    header().skipped_types = std::move(walked.skipped_types);
    header().python_sizeof_types = std::move(walked.python_sizeof_types);
    for (std::string& warning : walked.warnings) header().warnings.push_back(std::move(warning));
    if (request_.redact.empty()) return;
    const Redactor redactor(request_.redact);
    TargetInfo& target = header().target;
    target.command_line = redactor.apply(target.command_line);
    target.name = redactor.apply(target.name);
  }

  // Roots of last resort, only for what nothing else reaches; then roots for what only C, or nothing, refers to.
  void analyse() {
    log_.progress("dominators", 0, 0);
    const StringId permanent = graph().strings.add("permanent generation");
    for (NodeIndex node = 0; node < graph().node_count(); ++node) {
      if ((graph().flags[node] & kNodePermanent) != 0) late_roots_.push_back({RootKind::kPermanent, node, permanent});
    }
    Ownership ownership(graph());
    add_late_roots(graph(), ownership, late_roots_);
    add_unknown_roots(graph(), ownership);
    compute_retained(graph(), ownership);
    header().suspects = find_suspects(graph());
  }

  void keep_types_only() {
    HeapGraph types;
    types.types = std::move(graph().types);
    types.strings = std::move(graph().strings);
    for (TypeEntry& type : types.types) type.node = kNoNode;
    types.edge_begin.assign(1, 0);
    graph() = std::move(types);
  }

  const SnapshotRequest& request_;
  Log& log_;
  ProcessId target_;
  std::optional<ResidentPages> resident_;
  std::vector<std::unique_ptr<ElfImage>> images_;
  SnapshotResult result_;
  std::vector<Root> late_roots_;
};

}  // namespace

SnapshotResult take_snapshot(const SnapshotRequest& request, Log& log) { return Session(request, log).run(); }

}  // namespace memsnap
