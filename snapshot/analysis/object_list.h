#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "snapshot/analysis/cycles.h"
#include "snapshot/analysis/ownership.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

enum class ObjectSort : std::uint8_t { kRetained, kSize, kReferrers, kLength };

struct ObjectQuery {
  ObjectSort sort = ObjectSort::kRetained;
  std::size_t rows = 20;           // 0: all
  std::uint64_t min_bytes = 0;     // own ones when sorted by size, else retained
  std::vector<bool> types;         // by TypeId; empty: all
  const BitSet* among = nullptr;   // nodes; nullptr: all
  const Cycles* cycles = nullptr;  // members only, largest cycle first
};

struct ListedObject {
  NodeIndex node = kNoNode;
  std::uint64_t rank = 0;       // @N: its place among all objects by retained bytes
  std::uint32_t referrers = 0;  // objects and frames that refer to it, weakly not counted
  std::optional<std::uint64_t> length;
};

struct ObjectList {
  std::vector<ListedObject> shown;
  std::uint64_t count = 0;  // of all that match
  std::uint64_t bytes = 0;
};

// Needs nodes, addresses, references and retained sizes. Columns and linear time, but for sorting what is shown.
ObjectList list_objects(const HeapGraph& graph, const ObjectQuery& query);

// The object with number @`rank`: the order is that of retained bytes, then of addresses. kNoNode: there are fewer.
NodeIndex object_of_rank(const HeapGraph& graph, std::uint64_t rank);
std::vector<std::uint64_t> ranks_of(const HeapGraph& graph, std::span<const NodeIndex> nodes);

// Which types have this name; "dict" means builtins.dict too.
std::vector<bool> types_named(const HeapGraph& graph, std::string_view name);

// The object that retains most. kNoNode: there is none.
NodeIndex largest_object(const HeapGraph& graph, const std::vector<bool>& types, const BitSet* among);

// How many objects and frames refer to each, weakly not counted.
std::vector<std::uint32_t> count_referrers(const HeapGraph& graph);
// Items or entries, for containers whose references tell.
std::optional<std::uint64_t> length_of(const HeapGraph& graph, NodeIndex node);

}  // namespace memsnap
