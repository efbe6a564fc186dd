#include "snapshot/analysis/paths.h"

#include <algorithm>

namespace memsnap {
namespace {

constexpr std::uint32_t kUnseen = 0xffffffff;

// Breadth first from the roots. The target is never expanded: no path leads through it.
class Search {
 public:
  Search(const HeapGraph& graph, NodeIndex target, bool via_weak)
      : graph_(graph),
        target_(target),
        via_weak_(via_weak),
        parent_(graph.node_count(), kNoNode),
        edge_(graph.node_count(), kNoEdge),
        root_(graph.node_count(), kUnseen) {}

  std::vector<Path> run(bool named, std::size_t count) {
    std::vector<Path> found;
    if (count == 0) return found;
    for (std::uint32_t i = 0; i < graph_.roots.size(); ++i) start(i, named, found);
    for (std::size_t at = 0; at < queue_.size() && found.size() < count; ++at) expand(queue_[at], found);
    return found;
  }

 private:
  void start(std::uint32_t index, bool named, std::vector<Path>& found) {
    const Root& root = graph_.roots[index];
    if ((root.kind != RootKind::kUnknown) != named || root.node >= root_.size() || root_[root.node] != kUnseen) return;
    root_[root.node] = index;
    if (root.node == target_) {
      found.push_back({root, {{target_, kNoEdge}}});
    } else {
      queue_.push_back(root.node);
    }
  }

  void expand(NodeIndex from, std::vector<Path>& found) {
    bool held = false;
    for (std::uint32_t edge = graph_.edge_begin[from]; edge < graph_.edge_begin[from + 1]; ++edge) {
      if (!via_weak_ && graph_.edge_label[edge].kind() == Label::kWeak) continue;
      const NodeIndex to = graph_.edge_target[edge];
      if (to == target_) {
        if (!held) found.push_back(path_through(from, edge));
        held = true;
      } else if (root_[to] == kUnseen) {
        root_[to] = root_[from];
        parent_[to] = from;
        edge_[to] = edge;
        queue_.push_back(to);
      }
    }
  }

  Path path_through(NodeIndex holder, std::uint32_t edge) const {
    Path path{graph_.roots[root_[holder]], {{target_, edge}}};
    for (NodeIndex node = holder; node != kNoNode; node = parent_[node]) path.steps.push_back({node, edge_[node]});
    std::reverse(path.steps.begin(), path.steps.end());
    return path;
  }

  const HeapGraph& graph_;
  NodeIndex target_;
  bool via_weak_;
  std::vector<NodeIndex> parent_, queue_;
  std::vector<std::uint32_t> edge_, root_;
};

}  // namespace

std::vector<Path> find_paths(const HeapGraph& graph, NodeIndex target, const PathOptions& options) {
  if (target >= graph.node_count()) return {};
  std::vector<Path> found = Search(graph, target, options.via_weak).run(true, options.count);
  if (found.size() > options.count) found.resize(options.count);
  return found.empty() ? Search(graph, target, options.via_weak).run(false, options.count) : found;
}

}  // namespace memsnap
