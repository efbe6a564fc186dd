#include "snapshot/model/insert_nodes.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <tuple>

namespace memsnap {
namespace {

using Edge = std::tuple<std::uint64_t, std::uint64_t, std::uint32_t, std::uint64_t>;  // from, to, kind, named by

std::set<Edge> edges_of(const HeapGraph& graph) {
  std::set<Edge> edges;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    for (std::uint32_t i = graph.edge_begin[node]; i < graph.edge_begin[node + 1]; ++i) {
      const EdgeLabel label = graph.edge_label[i];
      edges.emplace(graph.address[node], graph.address[graph.edge_target[i]], static_cast<std::uint32_t>(label.kind()),
                    label.has_node() ? graph.address[label.payload()] : label.payload());
    }
  }
  return edges;
}

// Old nodes at even addresses, new ones at odd: all that is said by address stays as it was.
TEST(InsertNodes, EverythingIsWhereItsAddressSays) {
  std::mt19937 generator(11);
  const auto random = [&] { return static_cast<std::uint32_t>(generator()); };
  for (int round = 0; round < 100; ++round) {
    HeapGraph graph;
    const std::uint32_t count = 1 + random() % 30;
    graph.types.resize(2);
    graph.edge_begin = {0};
    for (std::uint32_t i = 0; i < count; ++i) {
      graph.address.push_back(100 + 10 * i);
      graph.type.push_back(0);
      graph.size.push_back(100 + i);
      graph.flags.push_back(kNodeTracked);
      for (std::uint32_t k = random() % 4; k > 0; --k) {
        graph.edge_target.push_back(random() % count);
        graph.edge_label.push_back(random() % 2 == 0 ? EdgeLabel::named_by(Label::kAttribute, random() % count)
                                                     : EdgeLabel::named(Label::kField, 7));
      }
      graph.edge_begin.push_back(static_cast<std::uint32_t>(graph.edge_target.size()));
    }
    graph.roots = {{RootKind::kModule, random() % count, 0}};
    graph.text_node = {random() % count};
    graph.types[0].node = random() % count;
    NewNodes nodes;
    nodes.type = 1;
    nodes.flags = kNodeNative;
    const std::uint32_t fresh = random() % 20;
    for (std::uint32_t i = 0; i < fresh; ++i) {
      nodes.address.push_back(81 + 20 * i);
      nodes.size.push_back(i);
    }
    std::set<Edge> wanted = edges_of(graph);
    std::set<std::pair<std::uint32_t, std::uint32_t>> from_old, from_new;
    for (std::uint32_t i = 0; i < fresh; ++i) {
      from_old.emplace(random() % count, i);
      from_new.emplace(random() % fresh, i);
    }
    nodes.from_old.assign(from_old.begin(), from_old.end());
    nodes.from_new.assign(from_new.begin(), from_new.end());
    for (const auto& [from, to] : from_old) wanted.emplace(graph.address[from], nodes.address[to], 0, 0);
    for (const auto& [from, to] : from_new) wanted.emplace(nodes.address[from], nodes.address[to], 0, 0);
    std::vector<Root> late{{RootKind::kUnknown, random() % count, 0}};
    const std::uint64_t root = graph.address[graph.roots[0].node];
    const std::uint64_t late_root = graph.address[late[0].node];
    const std::uint64_t text = graph.address[graph.text_node[0]];
    const std::uint64_t type = graph.address[graph.types[0].node];

    ASSERT_TRUE(insert_nodes(graph, nodes, late));

    EXPECT_EQ(graph.node_count(), count + fresh);
    EXPECT_TRUE(std::is_sorted(graph.address.begin(), graph.address.end()));
    EXPECT_EQ(edges_of(graph), wanted);
    EXPECT_EQ(graph.address[graph.roots[0].node], root);
    EXPECT_EQ(graph.address[late[0].node], late_root);
    EXPECT_EQ(graph.address[graph.text_node[0]], text);
    EXPECT_EQ(graph.address[graph.types[0].node], type);
    for (NodeIndex node = 0; node < graph.node_count(); ++node) {
      const bool is_new = graph.address[node] % 2 == 1;
      EXPECT_EQ(graph.flags[node], is_new ? kNodeNative : kNodeTracked);
      EXPECT_EQ(graph.size[node], is_new ? (graph.address[node] - 81) / 20 : 100 + (graph.address[node] - 100) / 10);
    }
  }
}

}  // namespace
}  // namespace memsnap
