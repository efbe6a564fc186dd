#include "snapshot/analysis/cycles.h"

#include <algorithm>
#include <numeric>

namespace memsnap {
namespace {

constexpr std::uint32_t kFinished = 0xffffffff;  // as an order: its component is known

class Tarjan {
 public:
  Tarjan(const HeapGraph& graph, const FollowedEdges& followed)
      : graph_(graph), followed_(followed), order_(graph.node_count()) {
    cycles_.number.assign(graph.node_count(), 0);
  }

  Cycles run() {
    for (NodeIndex node = 0; node < graph_.node_count(); ++node) {
      if (order_[node] == 0) search(node);
    }
    return std::move(cycles_);
  }

 private:
  struct Frame {
    NodeIndex node;
    std::uint32_t edge;    // to be looked at next
    std::uint32_t lowest;  // order of the first node that can be reached from here
  };

  void enter(NodeIndex node) {
    order_[node] = ++visited_;
    path_.push_back(node);
    frames_.push_back({node, graph_.edge_begin[node], visited_});
  }

  void search(NodeIndex first) {
    enter(first);
    while (!frames_.empty()) {
      Frame& frame = frames_.back();
      if (frame.edge == graph_.edge_begin[frame.node + 1]) {
        leave();
        continue;
      }
      const std::uint32_t edge = frame.edge++;
      if (!followed_.test(edge)) continue;
      const NodeIndex target = graph_.edge_target[edge];
      if (order_[target] == 0) {
        enter(target);
      } else if (order_[target] != kFinished) {
        frame.lowest = std::min(frame.lowest, order_[target]);
      }
    }
  }

  void leave() {
    const Frame done = frames_.back();
    frames_.pop_back();
    if (done.lowest == order_[done.node]) {
      finish(done.node);
    } else {
      frames_.back().lowest = std::min(frames_.back().lowest, done.lowest);
    }
  }

  // What came after `first` and is still on the path is one component with it.
  void finish(NodeIndex first) {
    const bool several = path_.back() != first;
    std::uint32_t objects = 0;
    const auto number = static_cast<std::uint32_t>(cycles_.objects.size() + 1);
    for (NodeIndex node = kNoNode; node != first;) {
      node = path_.back();
      path_.pop_back();
      order_[node] = kFinished;
      if (!several) continue;
      cycles_.number[node] = number;
      objects += graph_.is_object(node) ? 1u : 0u;
    }
    if (several) cycles_.objects.push_back(objects);
  }

  const HeapGraph& graph_;
  const FollowedEdges& followed_;
  std::vector<std::uint32_t> order_;  // in which nodes were found, from 1
  std::vector<NodeIndex> path_;       // found, and not in a component yet
  std::vector<Frame> frames_;
  std::uint32_t visited_ = 0;
  Cycles cycles_;
};

// The one with most objects becomes the first; of equal ones that with the lowest address.
void renumber(Cycles& cycles) {
  const std::size_t count = cycles.objects.size();
  std::vector<NodeIndex> lowest(count, kNoNode);
  for (std::size_t node = cycles.number.size(); node-- > 0;) {
    if (cycles.number[node] != 0) lowest[cycles.number[node] - 1] = static_cast<NodeIndex>(node);
  }
  std::vector<std::uint32_t> by_size(count);
  std::iota(by_size.begin(), by_size.end(), 0);
  std::sort(by_size.begin(), by_size.end(), [&](std::uint32_t a, std::uint32_t b) {
    return cycles.objects[a] != cycles.objects[b] ? cycles.objects[a] > cycles.objects[b] : lowest[a] < lowest[b];
  });
  std::vector<std::uint32_t> number(count + 1);
  std::vector<std::uint32_t> objects;
  for (const std::uint32_t old : by_size) {
    objects.push_back(cycles.objects[old]);
    number[old + 1] = static_cast<std::uint32_t>(objects.size());
  }
  for (std::uint32_t& of_node : cycles.number) of_node = number[of_node];
  cycles.objects = std::move(objects);
}

}  // namespace

FollowedEdges::FollowedEdges(const HeapGraph& graph) : follow_(graph.edge_count()) {
  for (std::size_t edge = 0; edge < graph.edge_count(); ++edge) {
    if (graph.edge_label[edge].kind() != Label::kWeak) follow_.set(edge);
  }
}

FollowedEdges::FollowedEdges(const HeapGraph& graph, const BitSet& unreachable) : follow_(graph.edge_count()) {
  const Ownership ownership(graph);
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    for (std::uint32_t edge = graph.edge_begin[node]; edge < graph.edge_begin[node + 1]; ++edge) {
      const bool both_unreachable = unreachable.test(node) && unreachable.test(graph.edge_target[edge]);
      if (ownership.owns(edge) || (both_unreachable && !ownership.is_weak(edge))) follow_.set(edge);
    }
  }
}

Cycles find_cycles(const HeapGraph& graph, const FollowedEdges& followed) {
  Cycles cycles = Tarjan(graph, followed).run();
  renumber(cycles);
  return cycles;
}

}  // namespace memsnap
