#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "snapshot/model/heap_graph.h"

namespace memsnap {

// One bit for each node or each reference.
class BitSet {
 public:
  explicit BitSet(std::size_t count) : words_((count + 63) / 64) {}
  bool test(std::size_t i) const { return (words_[i >> 6] >> (i & 63) & 1) != 0; }
  void set(std::size_t i) { words_[i >> 6] |= std::uint64_t{1} << (i & 63); }
  void clear(std::size_t i) { words_[i >> 6] &= ~(std::uint64_t{1} << (i & 63)); }
  const std::uint64_t* word_of(std::size_t i) const { return &words_[i >> 6]; }

 private:
  std::vector<std::uint64_t> words_;
};

// Which references own what they point to (docs/decisions/0002-dominators.md). A weak reference never does. A back
// reference (to the object's class, a function's or frame's namespace, a module's namespace from anywhere but the
// module, an interned string) does only when nothing else leads to its target: otherwise every class and module would
// belong to nobody as soon as two modules use it.
class Ownership {
 public:
  explicit Ownership(const HeapGraph& graph);

  bool owns(std::size_t edge) const { return owns_.test(edge); }
  bool is_back_reference(std::size_t edge) const { return back_.test(edge); }
  bool is_weak(std::size_t edge) const { return !owns_.test(edge) && !back_.test(edge); }

  // Nodes that the roots reach over owning references, and over any that are not weak.
  bool owned(NodeIndex node) const { return owned_.test(node); }
  bool reached(NodeIndex node) const { return reached_.test(node); }
  bool all_reached() const { return reached_count_ == graph_->node_count(); }

  void add_root(NodeIndex root);  // what it owns is owned from now on
  void follow_back_references();  // to be called when roots have been added; costs what they added
  // From now on owns() is also true for the back references whose target nothing owns.
  void settle();

 private:
  void mark_roots();
  void classify(std::size_t node);
  void reach_from(NodeIndex node);
  void follow_back_references_of(NodeIndex node);

  const HeapGraph* graph_;
  std::array<StringId, 5> back_names_{};
  std::vector<NodeIndex> builtins_keys_;
  std::vector<std::uint32_t> namespace_edges_;  // from a module to its namespace
  BitSet owns_, back_, interned_, namespaces_, owned_, reached_;
  std::size_t reached_count_ = 0;
  std::vector<NodeIndex> stack_;
  bool followed_ = false;         // the back references of all that was reached so far,
  std::vector<NodeIndex> fresh_;  // but for these
};

}  // namespace memsnap
