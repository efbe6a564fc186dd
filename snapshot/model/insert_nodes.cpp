#include "snapshot/model/insert_nodes.h"

#include <limits>

namespace memsnap {
namespace {

constexpr std::uint64_t kMost = std::numeric_limits<std::uint32_t>::max() - 16;

// Where old and new nodes are in the order of all addresses.
struct Places {
  std::vector<NodeIndex> old_node;
  std::vector<NodeIndex> new_node;
};

Places place(const HeapGraph& graph, const NewNodes& nodes) {
  Places places;
  places.old_node.resize(graph.node_count());
  places.new_node.resize(nodes.address.size());
  std::size_t next = 0;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    while (next < nodes.address.size() && nodes.address[next] < graph.address[node]) {
      places.new_node[next] = static_cast<NodeIndex>(node + next);
      ++next;
    }
    places.old_node[node] = static_cast<NodeIndex>(node + next);
  }
  for (; next < nodes.address.size(); ++next) {
    places.new_node[next] = static_cast<NodeIndex>(graph.node_count() + next);
  }
  return places;
}

template <typename T, typename NewValue>
void spread(std::vector<T>& column, const Places& places, const NewValue& new_value) {
  std::vector<T> whole(places.old_node.size() + places.new_node.size());
  for (std::size_t i = 0; i < places.old_node.size(); ++i) whole[places.old_node[i]] = column[i];
  for (std::size_t i = 0; i < places.new_node.size(); ++i) whole[places.new_node[i]] = new_value(i);
  column = std::move(whole);
}

// References of each node in the new order: its old ones, then those to new nodes.
class EdgeMerger {
 public:
  EdgeMerger(HeapGraph& graph, const NewNodes& nodes, const Places& places)
      : graph_(graph), nodes_(nodes), places_(places) {}

  void run() {
    const std::size_t count = places_.old_node.size() + places_.new_node.size();
    begin_.reserve(count + 1);
    const std::size_t edges = graph_.edge_count() + nodes_.from_old.size() + nodes_.from_new.size();
    target_.reserve(edges);
    label_.reserve(edges);
    std::size_t old_node = 0;
    std::size_t new_node = 0;
    for (std::size_t at = 0; at < count; ++at) {
      begin_.push_back(static_cast<std::uint32_t>(target_.size()));
      if (old_node < places_.old_node.size() && places_.old_node[old_node] == at) {
        add_old(static_cast<NodeIndex>(old_node++));
      } else {
        add_new(static_cast<std::uint32_t>(new_node++));
      }
    }
    begin_.push_back(static_cast<std::uint32_t>(target_.size()));
    graph_.edge_begin = std::move(begin_);
    graph_.edge_target = std::move(target_);
    graph_.edge_label = std::move(label_);
  }

 private:
  void add_old(NodeIndex node) {
    for (std::uint32_t edge = graph_.edge_begin[node]; edge < graph_.edge_begin[node + 1]; ++edge) {
      const EdgeLabel label = graph_.edge_label[edge];
      target_.push_back(places_.old_node[graph_.edge_target[edge]]);
      label_.push_back(label.has_node() && label.payload() < places_.old_node.size()
                           ? EdgeLabel::named_by(label.kind(), places_.old_node[label.payload()])
                           : label);
    }
    for (; next_old_ < nodes_.from_old.size() && nodes_.from_old[next_old_].first <= node; ++next_old_) {
      if (nodes_.from_old[next_old_].first == node) add_unnamed(nodes_.from_old[next_old_].second);
    }
  }

  void add_new(std::uint32_t node) {
    for (; next_new_ < nodes_.from_new.size() && nodes_.from_new[next_new_].first <= node; ++next_new_) {
      if (nodes_.from_new[next_new_].first == node) add_unnamed(nodes_.from_new[next_new_].second);
    }
  }

  void add_unnamed(std::uint32_t new_node) {
    target_.push_back(places_.new_node.at(new_node));
    label_.push_back(EdgeLabel::of(Label::kNone));
  }

  HeapGraph& graph_;
  const NewNodes& nodes_;
  const Places& places_;
  std::size_t next_old_ = 0;
  std::size_t next_new_ = 0;
  std::vector<std::uint32_t> begin_;
  std::vector<NodeIndex> target_;
  std::vector<EdgeLabel> label_;
};

}  // namespace

bool insert_nodes(HeapGraph& graph, const NewNodes& nodes, std::vector<Root>& more_roots) {
  if (nodes.address.empty()) return true;
  if (graph.node_count() + nodes.address.size() > kMost) return false;
  if (graph.edge_count() + nodes.from_old.size() + nodes.from_new.size() > kMost) return false;
  const Places places = place(graph, nodes);
  EdgeMerger(graph, nodes, places).run();
  spread(graph.address, places, [&](std::size_t i) { return nodes.address[i]; });
  spread(graph.type, places, [&](std::size_t) { return nodes.type; });
  spread(graph.size, places, [&](std::size_t i) { return nodes.size[i]; });
  spread(graph.flags, places, [&](std::size_t) { return nodes.flags; });
  if (!graph.site.empty()) spread(graph.site, places, [](std::size_t) { return 0u; });
  const auto move = [&](NodeIndex& node) {
    if (node < places.old_node.size()) node = places.old_node[node];
  };
  for (TypeEntry& type : graph.types) move(type.node);
  for (Root& root : graph.roots) move(root.node);
  for (Root& root : more_roots) move(root.node);
  for (NodeIndex& node : graph.text_node) move(node);
  for (NodeIndex& node : graph.hash_node) move(node);
  return true;
}

}  // namespace memsnap
