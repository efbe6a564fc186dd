#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "attach/base/log.h"
#include "attach/frozen_process.h"
#include "inject/protocol/heap_layout.h"
#include "snapshot/model/snapshot.h"
#include "snapshot/walk/kept_text.h"

namespace memsnap {

// An object the walk begins with, and why it is alive.
struct PlannedRoot {
  RootKind kind = RootKind::kUnknown;
  std::uint64_t address = 0;
  std::string name;
};

// A thread state and what it keeps alive.
struct PlannedThread {
  std::uint64_t state = 0;  // address of its PyThreadState
  std::string name;
  std::vector<std::uint64_t> frames;   // innermost first: frame objects to 3.10, interpreter frames from 3.11 on
  std::vector<std::uint64_t> objects;  // other objects it refers to
};

// Where a walk begins: made by snapshot/walk/roots from the interpreters of the target.
struct WalkPlan {
  const HeapLayout* layout = nullptr;
  std::uint64_t code_type = 0;         // PyCode_Type
  std::uint64_t subtype_traverse = 0;  // tp_traverse of classes made by a class statement; 0: unknown
  std::vector<std::uint64_t> gc_heads;
  std::uint64_t permanent_index = ~0ull;  // of gc_heads; ~0: none
  bool during_collection = false;
  std::vector<PlannedRoot> roots;
  std::vector<PlannedRoot> late_roots;  // roots only for what nothing else reaches
  std::vector<PlannedThread> threads;
};

struct WalkOptions {
  bool keep_edges = true;
  bool find_orphans = true;
  TextPolicy texts;
  std::vector<std::string> redact;
  std::function<bool()> cancelled;  // asked now and then; true ends the walk by Error
};

// The graph (no dominators yet) and what the header says about how it was got.
struct WalkResult {
  HeapGraph graph;
  std::vector<NamedCount> duplicates;
  std::vector<Root> late_roots;
  bool partial = false;
  bool in_child = false;  // tp_traverse ran in the frozen child
  std::uint64_t objects = 0;
  std::uint64_t bytes = 0;
  std::uint64_t unreadable = 0;
  std::uint64_t skipped = 0;
  std::uint64_t orphans = 0;
  std::uint64_t orphan_bytes = 0;
  std::vector<NamedCount> skipped_types;
  std::vector<NamedCount> python_sizeof_types;
  std::vector<std::string> warnings;
  double child_cpu_ms = 0;
};

// Walks a frozen process: by tp_traverse in its child where there is one and it can be given code, else structurally.
// Throws Error when cancelled, or kInternal when nothing could be walked.
WalkResult walk_heap(FrozenProcess& frozen, const WalkPlan& plan, const WalkOptions& options, Log& log);

}  // namespace memsnap
