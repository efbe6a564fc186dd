#include "snapshot/analysis/ownership.h"

#include <algorithm>
#include <array>
#include <stdexcept>

namespace memsnap {
namespace {

constexpr std::array kBackFields{"__globals__", "__builtins__", "f_globals", "f_builtins", "f_locals"};
constexpr std::size_t kInFlight = 16;  // nodes whose references are on their way into the cache

void check_columns(const HeapGraph& graph) {
  const std::size_t nodes = graph.node_count();
  const bool fits = graph.type.size() == nodes && graph.size.size() == nodes && graph.flags.size() == nodes &&
                    graph.edge_begin.size() == nodes + 1 && graph.edge_begin.back() == graph.edge_count() &&
                    graph.edge_label.size() == graph.edge_count() && nodes < kNoNode;
  if (!fits) throw std::invalid_argument("the graph's columns do not fit together");
}

}  // namespace

Ownership::Ownership(const HeapGraph& graph)
    : graph_(&graph),
      owns_(graph.edge_count()),
      back_(graph.edge_count()),
      interned_(graph.node_count()),
      namespaces_(graph.node_count()),
      owned_(graph.node_count()),
      reached_(graph.node_count()) {
  if (graph.node_count() == 0) return;
  check_columns(graph);
  for (std::size_t i = 0; i < kBackFields.size(); ++i) back_names_[i] = graph.strings.find(kBackFields[i]).value_or(0);
  // A module's namespace has an entry `__builtins__`, as good as a field.
  if (back_names_[1] != 0) {
    for (std::size_t i = 0; i < graph.text.size(); ++i) {
      if (graph.text[i] == back_names_[1]) builtins_keys_.push_back(graph.text_node[i]);
    }
  }
  mark_roots();
  for (std::size_t node = 0; node < graph.node_count(); ++node) classify(node);
  for (const std::uint32_t edge : namespace_edges_) {
    owns_.set(edge);
    back_.clear(edge);
  }
  for (const Root& root : graph.roots) add_root(root.node);
  follow_back_references();
}

void Ownership::mark_roots() {
  const StringId dict = graph_->strings.find("__dict__").value_or(0);
  for (const Root& root : graph_->roots) {
    if (root.kind == RootKind::kInterned) interned_.set(root.node);
    if (root.kind != RootKind::kModule || dict == 0) continue;
    for (std::uint32_t edge = graph_->edge_begin[root.node]; edge < graph_->edge_begin[root.node + 1]; ++edge) {
      if (graph_->edge_label[edge].bits != EdgeLabel::named(Label::kField, dict).bits) continue;
      namespaces_.set(graph_->edge_target[edge]);
      namespace_edges_.push_back(edge);
    }
  }
}

void Ownership::classify(std::size_t node) {
  const bool interned = interned_.test(node);
  const std::uint32_t end = graph_->edge_begin[node + 1];
  for (std::uint32_t edge = graph_->edge_begin[node]; edge < end; ++edge) {
    const EdgeLabel label = graph_->edge_label[edge];
    bool back = interned || namespaces_.test(graph_->edge_target[edge]);
    switch (label.kind()) {
      case Label::kWeak:
        continue;
      case Label::kClass:
        back = true;
        break;
      case Label::kField:
        back |= !label.has_node() && label.payload() != 0 &&
                std::find(back_names_.begin(), back_names_.end(), label.payload()) != back_names_.end();
        break;
      case Label::kValue:
        back |= edge > graph_->edge_begin[node] && !builtins_keys_.empty() &&
                std::find(builtins_keys_.begin(), builtins_keys_.end(), graph_->edge_target[edge - 1]) !=
                    builtins_keys_.end();
        break;
      default:
        break;
    }
    (back ? back_ : owns_).set(edge);
  }
}

// The order does not matter here, so nodes wait in a ring while their references are fetched from memory.
void Ownership::add_root(NodeIndex root) {
  if (owned_.test(root)) return;
  const HeapGraph& graph = *graph_;
  const auto own = [&](NodeIndex node) {
    owned_.set(node);
    if (!reached_.test(node)) {
      ++reached_count_;
      reached_.set(node);
      if (followed_) fresh_.push_back(node);
    }
    __builtin_prefetch(&graph.edge_begin[node]);
    stack_.push_back(node);
  };
  std::array<NodeIndex, kInFlight> ring;
  std::size_t head = 0;
  std::size_t tail = 0;
  own(root);
  while (!stack_.empty() || head != tail) {
    while (!stack_.empty() && head - tail < kInFlight) {
      const NodeIndex node = stack_.back();
      stack_.pop_back();
      __builtin_prefetch(graph.edge_target.data() + graph.edge_begin[node]);
      ring[head++ % kInFlight] = node;
    }
    const NodeIndex node = ring[tail++ % kInFlight];
    const std::uint32_t end = graph.edge_begin[node + 1];
    for (std::uint32_t edge = graph.edge_begin[node]; edge < end; ++edge) {
      if (owns_.test(edge) && !owned_.test(graph.edge_target[edge])) own(graph.edge_target[edge]);
    }
  }
}

void Ownership::reach_from(NodeIndex first) {
  stack_.push_back(first);
  while (!stack_.empty()) {
    const NodeIndex node = stack_.back();
    stack_.pop_back();
    if (reached_.test(node)) continue;
    reached_.set(node);
    ++reached_count_;
    for (std::uint32_t edge = graph_->edge_begin[node]; edge < graph_->edge_begin[node + 1]; ++edge) {
      if (!is_weak(edge) && !reached_.test(graph_->edge_target[edge])) stack_.push_back(graph_->edge_target[edge]);
    }
  }
}

void Ownership::follow_back_references_of(NodeIndex node) {
  for (std::uint32_t edge = graph_->edge_begin[node]; edge < graph_->edge_begin[node + 1]; ++edge) {
    if (back_.test(edge) && !reached_.test(graph_->edge_target[edge])) reach_from(graph_->edge_target[edge]);
  }
}

// What reach_from() finds needs no second look: it follows back references as well.
void Ownership::follow_back_references() {
  if (!followed_) {
    for (NodeIndex node = 0; node < graph_->node_count() && !all_reached(); ++node) {
      if (reached_.test(node)) follow_back_references_of(node);
    }
    followed_ = true;
  }
  for (const NodeIndex node : fresh_) follow_back_references_of(node);
  fresh_.clear();
}

void Ownership::settle() {
  for (std::size_t edge = 0; edge < graph_->edge_count(); ++edge) {
    if (*back_.word_of(edge) == 0) {
      edge |= 63;  // none in these 64
    } else if (back_.test(edge) && !owned_.test(graph_->edge_target[edge])) {
      owns_.set(edge);
    }
  }
}

}  // namespace memsnap
