#pragma once

#include <cstdint>
#include <string>

#include "snapshot/model/heap_graph.h"

namespace memsnap {

// What the variables and the evaluation stack of one call hold. Names and types as the target has them.
struct FrameLocals {
  bool known = false;          // the frame is in the graph
  std::uint64_t retained = 0;  // bytes that only they hold
  // The variable that retains most, alone or with others.
  std::string name{};
  std::string type{};
  std::uint64_t items = 0;  // of a container
  std::uint64_t bytes = 0;
  bool shared = false;  // others hold it too: it is not in `retained`
};

// The frame by its address in the target. The graph needs addresses, edges, strings, texts and dominators.
FrameLocals frame_locals(const HeapGraph& graph, std::uint64_t address);

}  // namespace memsnap
