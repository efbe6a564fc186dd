#include "snapshot/session/walked_heap.h"

#include <chrono>
#include <ctime>
#include <string>
#include <utility>
#include <vector>

#include "snapshot/analysis/ownership.h"
#include "snapshot/analysis/retained.h"
#include "snapshot/analysis/suspects.h"
#include "snapshot/analysis/unknown_roots.h"
#include "snapshot/walk/heap_walker.h"
#include "snapshot/walk/plan.h"

namespace memsnap {
namespace {

double own_cpu_ms() {
  timespec time{};
  if (::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) != 0) return 0;
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

void fill_header(SnapshotHeader& header, WalkResult& walked) {
  header.objects = walked.objects;
  header.edges = walked.graph.edge_count();
  header.bytes = walked.bytes;
  header.memory.python_objects = walked.bytes;
  header.unreadable = walked.unreadable;
  header.skipped = walked.skipped;
  header.orphans = walked.orphans;
  header.orphan_bytes = walked.orphan_bytes;
  header.partial = header.partial || walked.partial;
  header.child_cpu_ms = walked.child_cpu_ms;
  header.duplicates = std::move(walked.duplicates);
  header.skipped_types = std::move(walked.skipped_types);
  header.python_sizeof_types = std::move(walked.python_sizeof_types);
  for (std::string& warning : walked.warnings) header.warnings.push_back(std::move(warning));
}

// Roots of last resort, only for what nothing else reaches; then roots for what only C, or nothing, refers to.
void analyse_heap(Snapshot& snapshot, std::vector<Root> late, Log& log) {
  log.progress("dominators", 0, 0);
  HeapGraph& graph = snapshot.graph;
  const StringId permanent = graph.strings.add("permanent generation");
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    if ((graph.flags[node] & kNodePermanent) != 0) late.push_back({RootKind::kPermanent, node, permanent});
  }
  Ownership ownership(graph);
  add_late_roots(graph, ownership, late);
  add_unknown_roots(graph, ownership);
  compute_retained(graph, ownership);
  snapshot.header.suspects = find_suspects(graph);
}

void keep_types_only(HeapGraph& graph) {
  HeapGraph types;
  types.types = std::move(graph.types);
  types.strings = std::move(graph.strings);
  for (TypeEntry& type : types.types) type.node = kNoNode;
  types.edge_begin.assign(1, 0);
  graph = std::move(types);
}

}  // namespace

Stopwatch::Stopwatch() : begin_(std::chrono::steady_clock::now()), cpu_begin_ms_(own_cpu_ms()) {}

double Stopwatch::wall_ms() const {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin_).count();
}

double Stopwatch::cpu_ms() const { return own_cpu_ms() - cpu_begin_ms_; }

std::vector<Root> walk_into(Snapshot& snapshot, FrozenProcess& frozen, const PythonProcess& python,
                            const SnapshotRequest& request, const std::array<std::uint64_t, 2>& hash_key, Log& log) {
  SnapshotHeader& header = snapshot.header;
  header.kind = request.kind;
  header.strings = request.strings;
  header.strings_prefix = request.strings_prefix;
  header.redacted = !request.redact.empty();
  header.target.python = python.version.text();
  header.target.python_hex = python.version.hex();
  const Stopwatch watch;
  const WalkPlan plan = make_plan(frozen.memory(), frozen.map(), python, log);
  WalkOptions options;
  options.keep_edges = request.kind == SnapshotKind::kHeap;
  options.find_orphans = request.kind != SnapshotKind::kSession;
  options.texts.policy = request.strings;
  options.texts.prefix = request.strings_prefix;
  options.texts.hash_key = hash_key;
  options.redact = request.redact;
  options.cancelled = request.cancelled;
  WalkResult walked = walk_heap(frozen, plan, options, log);
  header.walk_ms = watch.wall_ms();
  header.walk_cpu_ms = watch.cpu_ms();
  header.during_collection = plan.during_collection;
  fill_header(header, walked);
  snapshot.graph = std::move(walked.graph);
  return std::move(walked.late_roots);
}

void analyse(Snapshot& snapshot, std::vector<Root> late_roots, Log& log) {
  if (snapshot.header.kind == SnapshotKind::kHeap) {
    analyse_heap(snapshot, std::move(late_roots), log);
  } else {
    if (snapshot.header.kind == SnapshotKind::kSession) snapshot.graph = HeapGraph();
    keep_types_only(snapshot.graph);
  }
}

}  // namespace memsnap
