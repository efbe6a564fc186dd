#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "snapshot/model/heap_graph.h"

namespace memsnap {

// One line of the containment tree. Every text came from the target: escape before printing.
struct TreeNode {
  std::string label;               // raw: ".CACHE", "['key']", "[3]", "[*]", "local rows", "module shop.cart", "types"
  std::string type;                // "shop.cart.Entry", empty for a group that is not an object
  std::string note;                // what it is, when known: "checkout() shop/cart.py"; empty for folds
  std::string file;                // of a call: where it was
  std::uint32_t line = 0;          // of a call
  std::uint64_t count = 0;         // objects this line stands for
  std::uint64_t size = 0;          // their own bytes, with those of links not shown (an instance's __dict__)
  std::uint64_t retained = 0;      // bytes of all they dominate, their own too
  bool folded = false;             // stands for several equal siblings
  std::vector<TreeNode> children;  // largest first
  std::uint64_t hidden_count = 0;  // objects directly below that are not shown: under the limits
  std::uint64_t hidden_retained = 0;  // what they retain
};

struct TreeLimits {
  std::uint32_t depth = 8;          // levels below the top, 0: no limit
  double min_percent = 1.0;         // of all retained bytes
  std::uint32_t max_children = 20;  // 0: no limit
};

// What holds what: the dominator tree from the named roots down, equal siblings folded. Needs types, roots, strings,
// text, edges, dominators and retained sizes. The node returned stands for the whole heap ("all").
TreeNode build_containment(const HeapGraph& graph, const TreeLimits& limits);

}  // namespace memsnap
