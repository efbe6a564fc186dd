#include "snapshot/analysis/references.h"

#include <algorithm>
#include <unordered_map>

#include "snapshot/analysis/ownership.h"

namespace memsnap {
namespace {

constexpr std::size_t kMostListed = 100'000;  // when every level may multiply them

bool is_weak(const HeapGraph& graph, std::uint32_t edge) { return graph.edge_label[edge].kind() == Label::kWeak; }

class Listing {
 public:
  Listing(const HeapGraph& graph, NodeIndex node, const ReferenceLimits& limits)
      : graph_(graph), limits_(limits), followed_(graph.node_count()) {
    found_.push_back({.node = node});
  }

  // `list_below(begin, end)`: adds what is below each of those.
  template <typename ListBelow>
  References run(ListBelow list_below) {
    std::size_t begin = 0;
    for (std::uint32_t level = 0; level < limits_.depth && begin < found_.size(); ++level) {
      const std::size_t end = found_.size();
      list_below(begin, end);
      begin = end;
    }
    return std::move(found_);
  }

  // A weak reference is no way on, and an object that was followed is not again.
  bool is_followed(std::size_t at) {
    if (at != 0 && is_weak(graph_, found_[at].edge)) return false;
    const NodeIndex node = found_[at].node;
    if (followed_.test(node)) return false;
    followed_.set(node);
    return true;
  }

  bool is_full(std::size_t listed, std::size_t pending) const {
    return (limits_.rows != 0 && listed >= limits_.rows) ||
           (found_.size() + pending >= kMostListed && limits_.depth > 1);
  }

  References& found() { return found_; }
  NodeIndex node_at(std::size_t at) const { return found_[at].node; }

 private:
  const HeapGraph& graph_;
  const ReferenceLimits& limits_;
  BitSet followed_;
  References found_;
};

void list_referents(const HeapGraph& graph, Listing& listing, std::size_t at) {
  const NodeIndex from = listing.node_at(at);
  References& found = listing.found();
  found[at].first_below = found.size();
  std::uint64_t items = 0;
  for (std::uint32_t edge = graph.edge_begin[from]; edge < graph.edge_begin[from + 1]; ++edge) {
    if (listing.is_full(found[at].below, 0)) {
      ++found[at].hidden_below;
      continue;
    }
    found.push_back({.node = graph.edge_target[edge], .from = from, .edge = edge, .items_before = items});
    ++found[at].below;
    items += graph.edge_label[edge].kind() == Label::kItem ? 1u : 0u;
  }
}

// One pass over all references for all objects of a level.
void list_referrers(const HeapGraph& graph, Listing& listing, std::size_t begin, std::size_t end) {
  BitSet wanted(graph.node_count());
  std::unordered_map<NodeIndex, std::size_t> place_of;
  for (std::size_t at = begin; at < end; ++at) {
    if (!listing.is_followed(at)) continue;
    wanted.set(listing.node_at(at));
    place_of.emplace(listing.node_at(at), at);
  }
  References& found = listing.found();
  std::unordered_map<std::size_t, References> below;
  std::size_t pending = 0;
  for (NodeIndex from = 0; from < graph.node_count() && !place_of.empty(); ++from) {
    std::uint32_t counted = graph.edge_begin[from];
    std::uint64_t items = 0;
    for (std::uint32_t edge = graph.edge_begin[from]; edge < graph.edge_begin[from + 1]; ++edge) {
      const NodeIndex target = graph.edge_target[edge];
      if (!wanted.test(target)) continue;
      const std::size_t at = place_of.at(target);
      References& list = below[at];
      if (listing.is_full(list.size(), pending)) {
        ++found[at].hidden_below;
        continue;
      }
      for (; counted < edge; ++counted) items += graph.edge_label[counted].kind() == Label::kItem ? 1u : 0u;
      list.push_back({.node = from, .from = from, .edge = edge, .items_before = items});
      ++pending;
    }
  }
  for (std::size_t at = begin; at < end; ++at) {
    const auto list = below.find(at);
    if (list == below.end()) continue;
    found[at].first_below = found.size();
    found[at].below = list->second.size();
    found.insert(found.end(), list->second.begin(), list->second.end());
  }
}

}  // namespace

References find_referents(const HeapGraph& graph, NodeIndex node, const ReferenceLimits& limits) {
  Listing listing(graph, node, limits);
  return listing.run([&](std::size_t begin, std::size_t end) {
    for (std::size_t at = begin; at < end; ++at) {
      if (listing.is_followed(at)) list_referents(graph, listing, at);
    }
  });
}

References find_referrers(const HeapGraph& graph, NodeIndex node, const ReferenceLimits& limits) {
  Listing listing(graph, node, limits);
  return listing.run([&](std::size_t begin, std::size_t end) { list_referrers(graph, listing, begin, end); });
}

std::string label_of(const HeapGraph& graph, const NodeNames& names, const Reference& reference) {
  const auto kind = static_cast<LinkKind>(graph.edge_label[reference.edge].kind());
  return names.label(kind, names.key_of(reference.from, reference.edge, reference.items_before));
}

}  // namespace memsnap
