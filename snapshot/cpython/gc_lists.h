#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "attach/process_memory.h"
#include "snapshot/cpython/interpreters.h"
#include "snapshot/cpython/python_process.h"

namespace memsnap {

// The list heads of one collector: addresses of PyGC_Head words that are no object's.
struct GcLists {
  std::vector<std::uint64_t> heads;        // generations 0, 1, 2; in 3.14.0 to 3.14.4 young, old 0, old 1
  std::optional<std::uint64_t> permanent;  // gc.freeze()
  bool collecting = false;  // in the middle of a collection: objects may also be in lists on the collector's stack
};

// One for each interpreter; in 3.8, where all share one, one in all. Found by their being rings, not by their offset,
// which differs between builds of one release. Throws Error kUnsupported naming the interpreter when there are none.
std::vector<GcLists> find_gc_lists(const ProcessMemory& memory, const PythonProcess& python,
                                   const std::vector<InterpreterState>& interpreters);

// The same within one range of memory; empty when there are none. `collecting` is left false.
std::optional<GcLists> scan_gc_lists(const ProcessMemory& memory, std::uint64_t begin, std::uint64_t end,
                                     std::uint64_t generation_size, bool lenient);

struct TrackedWalk {
  std::uint64_t objects = 0;
  bool complete = false;  // false: a link was unreadable or absurd, or the list ran in circles
};

// Calls `visit` with the address of each object in the list of `head`, by the `next` links alone: the other ones hold
// counts during a collection.
TrackedWalk for_each_tracked(const ProcessMemory& memory, std::uint64_t head,
                             const std::function<void(std::uint64_t object)>& visit);

}  // namespace memsnap
