#include "snapshot/analysis/shared_names.h"

#include <fmt/format.h>

#include "snapshot/analysis/ownership.h"

namespace memsnap {
namespace {

enum class Rank { kNothing, kIndex, kName, kVariable };

struct Reference {
  Rank rank = Rank::kNothing;
  NodeIndex from = kNoNode;
  std::uint32_t edge = 0;
  std::uint64_t items_before = 0;
};

Rank rank_of(const HeapGraph& graph, NodeIndex from, std::uint32_t edge, bool in_namespace) {
  switch (graph.edge_label[edge].kind()) {
    case Label::kValue: {
      const bool named = edge > graph.edge_begin[from] && !graph.text_of(graph.edge_target[edge - 1]).empty();
      if (named && in_namespace) return Rank::kVariable;
      return named ? Rank::kName : Rank::kIndex;
    }
    case Label::kAttribute:
    case Label::kLocal:
    case Label::kCell:
      return Rank::kName;
    case Label::kField:
    case Label::kItem:
      return Rank::kIndex;
    default:
      return Rank::kNothing;
  }
}

// The module whose namespace each dict is.
std::unordered_map<NodeIndex, StringId> find_namespaces(const HeapGraph& graph, const NodeNames& names) {
  std::unordered_map<NodeIndex, StringId> found;
  const auto dict = graph.strings.find("__dict__");
  for (const Root& root : graph.roots) {
    if (root.kind != RootKind::kModule) continue;
    if (const NodeIndex space = names.field(root.node, dict); space != kNoNode) found.emplace(space, root.name);
  }
  return found;
}

}  // namespace

std::unordered_map<NodeIndex, std::string> name_shared(const HeapGraph& graph, const NodeNames& names,
                                                       std::span<const NodeIndex> nodes) {
  BitSet wanted(graph.node_count());
  for (const NodeIndex node : nodes) wanted.set(node);
  const auto namespaces = find_namespaces(graph, names);
  std::unordered_map<NodeIndex, Reference> best;
  for (NodeIndex from = 0; from < graph.node_count(); ++from) {
    std::uint64_t items = 0;
    for (std::uint32_t edge = graph.edge_begin[from]; edge < graph.edge_begin[from + 1]; ++edge) {
      const std::uint64_t items_before = items;
      items += graph.edge_label[edge].kind() == Label::kItem ? 1u : 0u;
      if (!wanted.test(graph.edge_target[edge])) continue;
      const Rank rank = rank_of(graph, from, edge, namespaces.count(from) != 0);
      Reference& known = best[graph.edge_target[edge]];
      if (rank > known.rank) known = {rank, from, edge, items_before};
    }
  }
  std::unordered_map<NodeIndex, std::string> result;
  for (const auto& [node, reference] : best) {
    if (reference.rank == Rank::kNothing) continue;
    const auto kind = static_cast<LinkKind>(graph.edge_label[reference.edge].kind());
    const std::uint64_t key = names.key_of(reference.from, reference.edge, reference.items_before);
    if (reference.rank == Rank::kVariable) {
      result[node] =
          std::string(graph.strings.text(namespaces.at(reference.from))) + names.label(LinkKind::kAttribute, key);
    } else {
      result[node] = fmt::format("{} of {}", names.label(kind, key), graph.type_name(reference.from));
    }
  }
  return result;
}

}  // namespace memsnap
