#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "snapshot/model/heap_graph.h"

namespace memsnap {

// Builds a small graph by hand: nodes first, references in any order.
class FakeGraph {
 public:
  TypeId type(std::string_view name) {
    const StringId id = strings_.add(name);
    for (TypeId i = 0; i < types_.size(); ++i) {
      if (types_[i].name == id) return i;
    }
    types_.push_back({.name = id});
    return static_cast<TypeId>(types_.size() - 1);
  }
  NodeIndex node(std::string_view type_name, std::uint64_t size, std::uint8_t flags = 0) {
    nodes_.push_back({type(type_name), size, flags, {}});
    return static_cast<NodeIndex>(nodes_.size() - 1);
  }
  NodeIndex text(std::string_view value) {
    const NodeIndex at = node("builtins.str", 50);
    texts_.emplace_back(at, strings_.add(value));
    return at;
  }
  void edge(NodeIndex from, NodeIndex to, EdgeLabel label = EdgeLabel::of(Label::kItem)) {
    nodes_[from].edges.emplace_back(to, label);
  }
  void field(NodeIndex from, NodeIndex to, std::string_view name) { named(from, to, Label::kField, name); }
  void named(NodeIndex from, NodeIndex to, Label kind, std::string_view name) {
    edge(from, to, EdgeLabel::named(kind, strings_.add(name)));
  }
  void entry(NodeIndex dict, NodeIndex key, NodeIndex value) {
    edge(dict, key, EdgeLabel::of(Label::kKey));
    edge(dict, value, EdgeLabel::of(Label::kValue));
  }
  void root(NodeIndex node, RootKind kind = RootKind::kModule, std::string_view name = "") {
    roots_.push_back({.kind = kind, .node = node, .name = strings_.add(name)});
  }

  HeapGraph build() const {
    HeapGraph graph;
    graph.types = types_;
    graph.roots = roots_;
    graph.strings = strings_;
    graph.edge_begin.push_back(0);
    for (const Node& node : nodes_) {
      graph.address.push_back(0x7f0000000000 + 64 * graph.address.size());
      graph.type.push_back(node.type);
      graph.size.push_back(node.size);
      graph.flags.push_back(node.flags);
      for (const auto& [target, label] : node.edges) {
        graph.edge_target.push_back(target);
        graph.edge_label.push_back(label);
      }
      graph.edge_begin.push_back(static_cast<std::uint32_t>(graph.edge_target.size()));
    }
    for (const auto& [node, id] : texts_) {
      graph.text_node.push_back(node);
      graph.text.push_back(id);
    }
    return graph;
  }

 private:
  struct Node {
    TypeId type;
    std::uint64_t size;
    std::uint8_t flags;
    std::vector<std::pair<NodeIndex, EdgeLabel>> edges;
  };
  StringTable strings_;
  std::vector<TypeEntry> types_;
  std::vector<Node> nodes_;
  std::vector<Root> roots_;
  std::vector<std::pair<NodeIndex, StringId>> texts_;
};

}  // namespace memsnap
