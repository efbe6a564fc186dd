#include "snapshot/walk/heap_walker.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "attach/base/error.h"
#include "inject/control/child_walker.h"
#include "snapshot/cpython/gc_lists.h"
#include "snapshot/walk/duplicates.h"
#include "snapshot/walk/orphan_ranges.h"
#include "snapshot/walk/walk_host.h"

namespace memsnap {
namespace {

constexpr std::size_t kMaxRounds = 1000;  // of failed objects that lead to more failed objects

class HeapWalk {
 public:
  HeapWalk(FrozenProcess& frozen, const WalkPlan& plan, const WalkOptions& options, Log& log)
      : frozen_(frozen), plan_(plan), options_(options), log_(log) {
    for (const char* name : kFieldNames) result_.graph.strings.add(name);
    if (plan_.layout->frame.size == 0) return;
    for (const PlannedThread& thread : plan_.threads) {
      running_frames_.insert(running_frames_.end(), thread.frames.begin(), thread.frames.end());
    }
    std::sort(running_frames_.begin(), running_frames_.end());
  }

  WalkResult run() {
    restart();
    if (frozen_.child() != nullptr && walk_in_child()) {
      result_.in_child = true;
    } else {
      restart();
      walk_outside();
    }
    if (frozen_.child() != nullptr) result_.child_cpu_ms = frozen_.child()->cpu_ms();
    finish();
    return std::move(result_);
  }

 private:
  void restart() {
    host_ = std::make_unique<WalkHostState>(frozen_.memory(), *plan_.layout, result_.graph.strings, plan_.code_type,
                                            plan_.subtype_traverse, running_frames_, options_.keep_edges,
                                            [this](std::uint64_t objects) {
                                              log_.progress("walking objects", objects, 0);
                                              if (options_.cancelled && options_.cancelled()) {
                                                throw Error(ExitCode::kGaveUp, "cancelled", "");
                                              }
                                            });
  }

  std::vector<std::uint64_t> begin();
  bool walk_in_child();
  void settle(ChildWalker& walker);
  void walk_outside();
  void finish();
  void read_values();
  void add_types();
  void add_roots();
  void count_nodes();
  void count_orphans();
  void name_blamed();

  FrozenProcess& frozen_;
  const WalkPlan& plan_;
  const WalkOptions& options_;
  Log& log_;
  std::vector<std::uint64_t> running_frames_;  // ascending; none to 3.10
  std::unique_ptr<WalkHostState> host_;
  WalkResult result_;
};

// Records of threads and running frames, and all addresses the walk begins with.
std::vector<std::uint64_t> HeapWalk::begin() {
  std::vector<std::uint64_t> seeds;
  for (const PlannedRoot& root : plan_.roots) seeds.push_back(root.address);
  for (const PlannedRoot& root : plan_.late_roots) seeds.push_back(root.address);
  const auto edge = [](std::uint64_t target, EdgeKind kind) {
    return (target & kEdgeAddressMask) | static_cast<std::uint64_t>(kind) << kEdgeKindShift;
  };
  for (const PlannedThread& thread : plan_.threads) {
    std::vector<std::uint64_t> edges;
    for (const std::uint64_t frame : thread.frames) {
      edges.push_back(edge(frame, EdgeKind::kField) | kEdgeNamed);
      edges.push_back(static_cast<std::uint64_t>(FieldName::kFrame));
      if (plan_.layout->frame.size == 0) continue;  // a frame object, walked as any other
      const auto targets = host_->add_frame(frame);
      seeds.insert(seeds.end(), targets.begin(), targets.end());
    }
    for (const std::uint64_t object : thread.objects) edges.push_back(edge(object, EdgeKind::kNone));
    const auto targets = host_->add_synthetic(thread.state, kThreadTypeId, edges);
    const bool frames_are_objects = plan_.layout->frame.size == 0;
    std::copy_if(targets.begin(), targets.end(), std::back_inserter(seeds), [&](std::uint64_t target) {
      return frames_are_objects || !std::binary_search(running_frames_.begin(), running_frames_.end(), target);
    });
  }
  return seeds;
}

// False: the child cannot be given code or memory, nothing was walked.
bool HeapWalk::walk_in_child() {
  std::optional<ChildWalker> walker;
  try {
    walker.emplace(*frozen_.child(), frozen_.map(), *plan_.layout, plan_.code_type, running_frames_, *host_);
  } catch (const Error& error) {
    log_.warning("structural_walk",
                 fmt::format("no code can run in the frozen child ({}): walking from outside", error.what()));
    result_.warnings.emplace_back("walked from outside: no code could run in the frozen child");
    return false;
  }
  try {
    walker->walk_seeds(begin(), false);
    walker->walk_lists(plan_.gc_heads, plan_.permanent_index);
    settle(*walker);
    if (options_.find_orphans) {
      const auto ranges = orphan_ranges(frozen_.child()->pid(), frozen_.map());
      walker->find_orphans(ranges);
    }
    result_.unreadable = walker->dropped();
  } catch (const Error& error) {
    if (error.code() != ExitCode::kInternal && !frozen_.facts().partial && options_.cancelled && options_.cancelled())
      throw;
    log_.warning("partial", fmt::format("the walk did not come to its end: {}", error.what()));
    result_.warnings.push_back(fmt::format("partial: {}", error.what()));
    result_.partial = true;
  }
  return true;
}

// Until nothing new turns up: objects that failed, that did not fit the child's stack, static types seen for the first
// time.
void HeapWalk::settle(ChildWalker& walker) {
  for (std::size_t round = 0; round < kMaxRounds; ++round) {
    const auto deferred = host_->builder().take_deferred();
    auto seeds = host_->rescan_failed();
    const auto types = host_->take_new_static_types();
    seeds.insert(seeds.end(), types.begin(), types.end());
    if (deferred.empty() && seeds.empty()) return;
    walker.walk_seeds(deferred, true);
    walker.walk_seeds(seeds, false);
  }
  result_.partial = true;
}

void HeapWalk::walk_outside() {
  std::uint64_t memory = 0;
  for (const Mapping& mapping : frozen_.map().mappings()) memory += mapping.size();
  host_->scan().set_largest(memory);
  std::vector<std::uint64_t> seeds = begin();
  for (const std::uint64_t head : plan_.gc_heads) {
    for_each_tracked(frozen_.memory(), head, [&](std::uint64_t object) { seeds.push_back(object); });
  }
  while (!seeds.empty()) {
    host_->walk_structurally(std::move(seeds));
    seeds = host_->take_new_static_types();
  }
  result_.partial = result_.partial || frozen_.lost();
  // Of a process that runs on, the remains of what was just freed would be counted.
  if (options_.find_orphans && frozen_.facts().method == Method::kCore) host_->find_orphans(heap_ranges(frozen_.map()));
}

void HeapWalk::finish() {
  const auto known = static_cast<std::uint32_t>(host_->types().types().size());
  host_->builder().finish(result_.graph, [known](std::uint32_t id) {
    if (id == kThreadTypeId) return known;
    if (id == kFrameTypeId) return known + 1;
    return std::min(id, known);
  });
  add_types();
  add_roots();
  count_nodes();
  count_orphans();
  name_blamed();
  if (options_.keep_edges) read_values();
  result_.unreadable += host_->unreadable() + host_->scan().cut_short() + host_->builder().rejected();
  result_.skipped = host_->skipped();
}

void HeapWalk::read_values() {
  HeapGraph& graph = result_.graph;
  const ObjectReader& reader = host_->types().reader();
  std::vector<bool> is_text;
  for (const ResolvedType& type : host_->types().types()) is_text.push_back(type.record.kind == TypeKind::kText);
  is_text.resize(graph.types.size());
  std::vector<ValueKind> kinds;  // a subclass may give equal values another meaning
  for (const TypeEntry& type : graph.types) {
    const std::string_view name = graph.strings.text(type.name);
    kinds.push_back(name == "builtins.str"     ? ValueKind::kText
                    : name == "builtins.bytes" ? ValueKind::kBytes
                                               : ValueKind::kNone);
  }
  keep_texts(graph, reader, is_text, options_.texts, Redactor(options_.redact));
  result_.duplicates = count_duplicates(graph, reader, kinds);
}

void HeapWalk::add_types() {
  HeapGraph& graph = result_.graph;
  for (const ResolvedType& type : host_->types().types()) {
    TypeEntry entry;
    entry.name = type.name;
    entry.address = type.address;
    entry.node = host_->builder().find(type.address);
    entry.basic_size = type.record.basic_size;
    graph.types.push_back(entry);
  }
  TypeEntry thread;
  thread.name = graph.strings.add("thread state");
  graph.types.push_back(thread);
  TypeEntry frame;
  frame.name = graph.strings.add("interpreter frame");
  graph.types.push_back(frame);
}

void HeapWalk::add_roots() {
  HeapGraph& graph = result_.graph;
  const auto add = [&](std::vector<Root>& roots, RootKind kind, std::uint64_t address, const std::string& name) {
    const NodeIndex node = host_->builder().find(address);
    if (node != kNoNode) roots.push_back({kind, node, name.empty() ? 0 : graph.strings.add(name)});
  };
  for (const PlannedRoot& root : plan_.roots) add(graph.roots, root.kind, root.address, root.name);
  for (const PlannedThread& thread : plan_.threads) add(graph.roots, RootKind::kThread, thread.state, thread.name);
  for (const ResolvedType& type : host_->types().types()) {
    if ((type.record.flags & kTypeIsHeap) == 0) {
      add(graph.roots, RootKind::kType, type.address, std::string(graph.strings.text(type.name)));
    }
  }
  for (const PlannedRoot& root : plan_.late_roots) add(result_.late_roots, root.kind, root.address, root.name);
}

void HeapWalk::count_nodes() {
  HeapGraph& graph = result_.graph;
  for (std::size_t i = 0; i < graph.node_count(); ++i) {
    if (!graph.is_object(static_cast<NodeIndex>(i))) continue;
    ++result_.objects;
    result_.bytes += graph.size[i];
    TypeEntry& type = graph.types[std::min<std::size_t>(graph.type[i], graph.types.size() - 1)];
    ++type.count;
    type.size += graph.size[i];
  }
  for (std::size_t id = 0; id < host_->types().types().size(); ++id) {
    const ResolvedType& type = host_->types().types()[id];
    const TypeEntry& entry = graph.types[id];
    if ((type.record.flags & kTypePythonSizeof) == 0 || entry.count == 0) continue;
    result_.python_sizeof_types.push_back({std::string(graph.strings.text(entry.name)), entry.count, entry.size});
  }
}

void HeapWalk::count_orphans() {
  for (const std::uint64_t object : host_->builder().orphans()) {
    if (host_->builder().find(object) != kNoNode) continue;
    const auto size = host_->scan().size_of(object);
    const Mapping* const mapping = frozen_.map().find(object);
    if (!size || mapping == nullptr || *size > mapping->end - object) continue;  // the remains of a freed object
    ++result_.orphans;
    result_.orphan_bytes += *size;
  }
}

void HeapWalk::name_blamed() {
  for (const auto& [address, blame] : host_->blamed()) {
    const TypeRecord record = host_->types().resolve(address);
    std::string name = "unknown";
    if (record.kind != TypeKind::kNotAType) {
      name = std::string(result_.graph.strings.text(host_->types().types()[record.id].name));
    }
    result_.skipped_types.push_back({name, blame.objects, 0});
    result_.warnings.push_back(fmt::format("tp_traverse of {} failed ({}): {} object(s) walked structurally", name,
                                           blame.first, blame.objects));
  }
}

}  // namespace

WalkResult walk_heap(FrozenProcess& frozen, const WalkPlan& plan, const WalkOptions& options, Log& log) {
  return HeapWalk(frozen, plan, options, log).run();
}

}  // namespace memsnap
