#include "snapshot/analysis/paths.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

namespace memsnap {
namespace {

std::uint32_t below(std::mt19937& random, std::size_t bound) { return static_cast<std::uint32_t>(random() % bound); }

HeapGraph random_graph(std::mt19937& random) {
  HeapGraph graph;
  const std::uint32_t nodes = 1 + below(random, 200);
  graph.type.assign(nodes, 0);
  graph.edge_begin.push_back(0);
  for (std::uint32_t node = 0; node < nodes; ++node) {
    for (std::uint32_t i = below(random, 4); i > 0; --i) {
      graph.edge_target.push_back(below(random, nodes));
      graph.edge_label.push_back(EdgeLabel::of(random() % 5 == 0 ? Label::kWeak : Label::kItem));
    }
    graph.edge_begin.push_back(static_cast<std::uint32_t>(graph.edge_target.size()));
  }
  for (std::uint32_t i = below(random, 4); i > 0; --i) {
    graph.roots.push_back({random() % 2 == 0 ? RootKind::kModule : RootKind::kUnknown, below(random, nodes), 0});
  }
  return graph;
}

// Distances by relaxing every reference until nothing changes; `target` is not passed through. -1: not reached.
std::vector<int> naive_distances(const HeapGraph& graph, NodeIndex target, bool named, bool via_weak) {
  std::vector<int> distance(graph.node_count(), -1);
  for (const Root& root : graph.roots) {
    if ((root.kind != RootKind::kUnknown) == named) distance[root.node] = 0;
  }
  for (bool changed = true; changed;) {
    changed = false;
    for (NodeIndex from = 0; from < graph.node_count(); ++from) {
      if (distance[from] < 0 || from == target) continue;
      for (std::uint32_t edge = graph.edge_begin[from]; edge < graph.edge_begin[from + 1]; ++edge) {
        if (!via_weak && graph.edge_label[edge].kind() == Label::kWeak) continue;
        int& to = distance[graph.edge_target[edge]];
        if (to >= 0 && to <= distance[from] + 1) continue;
        to = distance[from] + 1;
        changed = true;
      }
    }
  }
  return distance;
}

void expect_sound(const HeapGraph& graph, const Path& path, NodeIndex target, bool via_weak) {
  ASSERT_FALSE(path.steps.empty());
  EXPECT_EQ(path.steps.front().node, path.root.node);
  EXPECT_EQ(path.steps.back().node, target);
  for (std::size_t i = 1; i < path.steps.size(); ++i) {
    const std::uint32_t edge = path.steps[i].edge;
    const NodeIndex from = path.steps[i - 1].node;
    EXPECT_TRUE(edge >= graph.edge_begin[from] && edge < graph.edge_begin[from + 1]);
    EXPECT_EQ(graph.edge_target[edge], path.steps[i].node);
    EXPECT_TRUE(via_weak || graph.edge_label[edge].kind() != Label::kWeak);
  }
}

TEST(Paths, AgreeWithANaiveSearchOnRandomGraphs) {
  std::mt19937 random(7);
  for (int round = 0; round < 400; ++round) {
    const HeapGraph graph = random_graph(random);
    const NodeIndex target = below(random, graph.node_count());
    const bool via_weak = round % 2 == 0;
    std::vector<int> distance = naive_distances(graph, target, true, via_weak);
    if (distance[target] < 0) distance = naive_distances(graph, target, false, via_weak);

    const auto paths = find_paths(graph, target, {.count = 3, .via_weak = via_weak});

    ASSERT_EQ(paths.empty(), distance[target] < 0);
    std::set<NodeIndex> holders;
    std::size_t before = 0;
    for (const Path& path : paths) {
      expect_sound(graph, path, target, via_weak);
      EXPECT_GE(path.steps.size(), before);
      before = path.steps.size();
      if (before > 1) {
        EXPECT_TRUE(holders.insert(path.steps[before - 2].node).second);
      }
    }
    if (!paths.empty()) {
      EXPECT_EQ(static_cast<int>(paths[0].steps.size()) - 1, distance[target]);
    }
  }
}

}  // namespace
}  // namespace memsnap
