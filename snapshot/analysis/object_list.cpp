#include "snapshot/analysis/object_list.h"

#include <algorithm>
#include <array>
#include <functional>
#include <numeric>

namespace memsnap {
namespace {

constexpr std::array<std::string_view, 5> kContainers{"builtins.list", "builtins.tuple", "builtins.dict",
                                                      "builtins.set", "builtins.frozenset"};

std::uint32_t item_count(const HeapGraph& graph, NodeIndex node) {
  std::uint32_t count = 0;
  for (const EdgeLabel label : graph.labels(node)) {
    count += label.kind() == Label::kItem || label.kind() == Label::kKey ? 1u : 0u;
  }
  return count;
}

// The order of the numbers @1, @2, ...
bool comes_first(const HeapGraph& graph, NodeIndex a, NodeIndex b) {
  return graph.retained[a] != graph.retained[b] ? graph.retained[a] > graph.retained[b] : a < b;
}

class Lister {
 public:
  Lister(const HeapGraph& graph, const ObjectQuery& query)
      : graph_(graph), query_(query), referrers_(count_referrers(graph)) {
    if (query.sort != ObjectSort::kLength) return;
    lengths_.reserve(graph.node_count());
    for (NodeIndex node = 0; node < graph.node_count(); ++node) lengths_.push_back(item_count(graph, node));
  }

  ObjectList list() const {
    ObjectList list;
    std::vector<NodeIndex> nodes;
    for (NodeIndex node = 0; node < graph_.node_count(); ++node) {
      if (!matches(node)) continue;
      nodes.push_back(node);
      list.bytes += graph_.size[node];
    }
    list.count = nodes.size();
    const std::size_t rows = query_.rows == 0 ? nodes.size() : std::min(query_.rows, nodes.size());
    std::partial_sort(nodes.begin(), nodes.begin() + static_cast<std::ptrdiff_t>(rows), nodes.end(),
                      [this](NodeIndex a, NodeIndex b) { return before(a, b); });
    nodes.resize(rows);
    const std::vector<std::uint64_t> ranks = ranks_of(graph_, nodes);
    for (std::size_t i = 0; i < rows; ++i) {
      list.shown.push_back({nodes[i], ranks[i], referrers_[nodes[i]], length_of(graph_, nodes[i])});
    }
    return list;
  }

 private:
  bool matches(NodeIndex node) const {
    if (!graph_.is_object(node)) return false;
    const std::uint64_t bytes = query_.sort == ObjectSort::kSize ? graph_.size[node] : graph_.retained[node];
    return bytes >= query_.min_bytes && (query_.types.empty() || query_.types.at(graph_.type[node])) &&
           (query_.among == nullptr || query_.among->test(node)) &&
           (query_.cycles == nullptr || query_.cycles->number[node] != 0);
  }

  std::uint64_t key(NodeIndex node) const {
    switch (query_.sort) {
      case ObjectSort::kRetained:
        break;
      case ObjectSort::kSize:
        return graph_.size[node];
      case ObjectSort::kReferrers:
        return referrers_[node];
      case ObjectSort::kLength:
        return lengths_[node];
    }
    return graph_.retained[node];
  }

  bool before(NodeIndex a, NodeIndex b) const {
    if (query_.cycles != nullptr && query_.cycles->number[a] != query_.cycles->number[b]) {
      return query_.cycles->number[a] < query_.cycles->number[b];
    }
    const std::uint64_t of_a = key(a);
    const std::uint64_t of_b = key(b);
    return of_a != of_b ? of_a > of_b : comes_first(graph_, a, b);
  }

  const HeapGraph& graph_;
  const ObjectQuery& query_;
  std::vector<std::uint32_t> referrers_;
  std::vector<std::uint32_t> lengths_;
};

}  // namespace

ObjectList list_objects(const HeapGraph& graph, const ObjectQuery& query) { return Lister(graph, query).list(); }

NodeIndex object_of_rank(const HeapGraph& graph, std::uint64_t rank) {
  std::vector<NodeIndex> nodes;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    if (graph.is_object(node)) nodes.push_back(node);
  }
  if (rank == 0 || rank > nodes.size()) return kNoNode;
  const auto place = nodes.begin() + static_cast<std::ptrdiff_t>(rank - 1);
  std::nth_element(nodes.begin(), place, nodes.end(),
                   [&](NodeIndex a, NodeIndex b) { return comes_first(graph, a, b); });
  return *place;
}

// Those asked for are sorted; every object is then counted in the gap it falls into.
std::vector<std::uint64_t> ranks_of(const HeapGraph& graph, std::span<const NodeIndex> nodes) {
  const auto first = [&](NodeIndex a, NodeIndex b) { return comes_first(graph, a, b); };
  std::vector<NodeIndex> sorted(nodes.begin(), nodes.end());
  std::sort(sorted.begin(), sorted.end(), first);
  std::vector<std::uint64_t> in_gap(sorted.size() + 1);
  for (NodeIndex node = 0; node < graph.node_count() && !sorted.empty(); ++node) {
    if (!graph.is_object(node) || first(sorted.back(), node)) continue;
    ++in_gap[static_cast<std::size_t>(std::lower_bound(sorted.begin(), sorted.end(), node, first) - sorted.begin())];
  }
  std::partial_sum(in_gap.begin(), in_gap.end(), in_gap.begin());
  std::vector<std::uint64_t> ranks;
  for (const NodeIndex node : nodes) {
    const auto at = std::lower_bound(sorted.begin(), sorted.end(), node, first) - sorted.begin();
    ranks.push_back(graph.is_object(node) ? in_gap[static_cast<std::size_t>(at)] : 0);
  }
  return ranks;
}

std::vector<bool> types_named(const HeapGraph& graph, std::string_view name) {
  constexpr std::string_view kPrefix = "builtins.";
  std::vector<bool> named(graph.types.size());
  for (TypeId type = 0; type < graph.types.size(); ++type) {
    const std::string_view known = graph.strings.text(graph.types[type].name);
    named[type] = known == name || (known.starts_with(kPrefix) && known.substr(kPrefix.size()) == name);
  }
  return named;
}

NodeIndex largest_object(const HeapGraph& graph, const std::vector<bool>& types, const BitSet* among) {
  NodeIndex found = kNoNode;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    if (!graph.is_object(node) || (found != kNoNode && !comes_first(graph, node, found))) continue;
    if ((types.empty() || types.at(graph.type[node])) && (among == nullptr || among->test(node))) found = node;
  }
  return found;
}

std::vector<std::uint32_t> count_referrers(const HeapGraph& graph) {
  std::vector<std::uint32_t> count(graph.node_count());
  std::vector<NodeIndex> last(graph.node_count(), kNoNode);  // who was counted for it last
  for (NodeIndex from = 0; from < graph.node_count(); ++from) {
    for (std::uint32_t edge = graph.edge_begin[from]; edge < graph.edge_begin[from + 1]; ++edge) {
      const NodeIndex target = graph.edge_target[edge];
      if (last[target] == from || graph.edge_label[edge].kind() == Label::kWeak) continue;
      last[target] = from;
      ++count[target];
    }
  }
  return count;
}

std::optional<std::uint64_t> length_of(const HeapGraph& graph, NodeIndex node) {
  const std::uint32_t count = item_count(graph, node);
  if (count != 0) return count;
  const std::string_view type = graph.type_name(node);
  if (std::find(kContainers.begin(), kContainers.end(), type) == kContainers.end()) return std::nullopt;
  return 0;
}

}  // namespace memsnap
