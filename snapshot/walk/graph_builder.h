#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "inject/protocol/walker_abi.h"
#include "snapshot/model/heap_graph.h"
#include "snapshot/walk/address_index.h"

namespace memsnap {

// Turns the walker's stream of words (inject/protocol/walker_abi.h), from the child or from the structural walk, into
// the columns of a HeapGraph. Names edges found by tp_traverse by those found structurally.
class GraphBuilder {
 public:
  // `keep_edges` false: only nodes are kept (--kind types).
  explicit GraphBuilder(bool keep_edges) : keep_edges_(keep_edges) {}

  void words(std::span<const std::uint64_t> stream);
  // Objects the child had no room for: to be handed back as seeds. Empties the list.
  std::vector<std::uint64_t> take_deferred() { return std::exchange(deferred_, {}); }
  std::span<const std::uint64_t> orphans() const { return orphans_; }
  bool contains(std::uint64_t address) const { return index_.contains(address); }
  std::uint64_t objects() const { return address_.size(); }
  std::uint64_t rejected() const { return rejected_; }  // records that overlap another or exceed 2^32 nodes or edges

  // Fills address, type, size, flags and edges, in ascending order of address; `type_of` maps a record's type id to the
  // graph's. Edges to what is no node are dropped. The builder is empty afterwards, but find() works.
  void finish(HeapGraph& graph, const std::function<TypeId(std::uint32_t)>& type_of);
  NodeIndex find(std::uint64_t address) const { return index_.find(address); }

 private:
  enum class Expect { kAddress, kSize, kType, kEdge, kName };

  void begin_record(std::uint64_t word);
  void edge_word(std::uint64_t word);
  void end_record();
  void drop_repeated();
  void forget_record();
  void resolve_edges();
  void place_nodes(HeapGraph& graph, const std::function<TypeId(std::uint32_t)>& type_of);
  void place_edges(HeapGraph& graph);

  bool keep_edges_;
  AddressIndex index_;
  std::vector<std::uint64_t> address_;
  std::vector<std::uint64_t> size_;
  std::vector<std::uint32_t> type_;
  std::vector<std::uint8_t> flags_;
  std::vector<std::uint64_t> edges_;        // edge words and name words, record after record
  std::vector<std::uint64_t> edges_begin_;  // one for each record
  std::vector<std::uint64_t> deferred_;
  std::vector<std::uint64_t> orphans_;
  std::uint64_t rejected_ = 0;

  // The record in progress.
  Expect expect_ = Expect::kAddress;
  std::uint64_t current_ = 0;
  std::uint64_t current_size_ = 0;
  std::uint64_t current_type_ = 0;
  std::size_t record_begin_ = 0;     // in edges_
  std::size_t traversed_begin_ = 0;  // in edges_; 0: no tp_traverse part
};

}  // namespace memsnap
