#include "snapshot/analysis/retained.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "tests/unit/analysis/fake_graph.h"

namespace memsnap {
namespace {

constexpr EdgeLabel kWeakLabel = EdgeLabel::of(Label::kWeak);
constexpr EdgeLabel kClassLabel = EdgeLabel::of(Label::kClass);

// The definitions, taken literally and without regard to time.
class Reference {
 public:
  explicit Reference(const HeapGraph& graph) : graph_(graph) {
    owned_ = reach(kNoNode, [&](NodeIndex, std::size_t edge) { return owning(edge); });
    reached_ = reach(kNoNode, [&](NodeIndex, std::size_t edge) { return counts(edge); });
  }

  bool owning(std::size_t edge) const {
    const EdgeLabel label = graph_.edge_label[edge];
    return label.kind() != Label::kWeak && label.kind() != Label::kClass &&
           !(label.kind() == Label::kField && graph_.strings.text(label.payload()) == "__globals__");
  }
  bool counts(std::size_t edge) const {
    return owning(edge) || (graph_.edge_label[edge].kind() != Label::kWeak && !owned_[graph_.edge_target[edge]]);
  }
  bool reached(NodeIndex node) const { return reached_[node]; }

  // Nodes that cannot be reached any more once `node` is gone, itself too.
  std::vector<bool> lost_without(NodeIndex node) const {
    auto left = reach(node, [&](NodeIndex, std::size_t edge) { return counts(edge); });
    for (NodeIndex i = 0; i < graph_.node_count(); ++i) left[i] = reached_[i] && !left[i];
    return left;
  }

 private:
  template <typename Uses>
  std::vector<bool> reach(NodeIndex removed, Uses uses) const {
    std::vector<bool> seen(graph_.node_count());
    std::vector<NodeIndex> stack;
    const auto see = [&](NodeIndex node) {
      if (node == removed || seen[node]) return;
      seen[node] = true;
      stack.push_back(node);
    };
    for (const Root& root : graph_.roots) see(root.node);
    while (!stack.empty()) {
      const NodeIndex node = stack.back();
      stack.pop_back();
      for (std::size_t edge = graph_.edge_begin[node]; edge < graph_.edge_begin[node + 1]; ++edge) {
        if (uses(node, edge)) see(graph_.edge_target[edge]);
      }
    }
    return seen;
  }

  const HeapGraph& graph_;
  std::vector<bool> owned_, reached_;
};

HeapGraph random_graph(std::mt19937& random) {
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  FakeGraph builder;
  const std::uint32_t nodes = 1 + below(40);
  const std::uint32_t types = 1 + below(4);
  for (std::uint32_t i = 0; i < nodes; ++i) {
    const bool synthetic = below(10) == 0;
    builder.node("t" + std::to_string(below(types)), synthetic ? 0 : 1 + below(100), synthetic ? kNodeSynthetic : 0);
  }
  const std::uint32_t edges = below(nodes * (1 + below(4)) + 1);
  for (std::uint32_t i = 0; i < edges; ++i) {
    const NodeIndex from = below(nodes);
    const NodeIndex to = below(nodes);
    switch (below(8)) {
      case 0:
        builder.edge(from, to, kWeakLabel);
        break;
      case 1:
        builder.edge(from, to, kClassLabel);
        break;
      case 2:
        builder.field(from, to, "__globals__");
        break;
      default:
        builder.edge(from, to);
    }
  }
  for (std::uint32_t i = below(4); i > 0; --i) builder.root(below(nodes));
  return builder.build();
}

void expect_like_reference(const HeapGraph& graph) {
  const Reference reference(graph);
  std::vector<std::vector<bool>> lost;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) lost.push_back(reference.lost_without(node));
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    // The nearest dominator is the one that all others dominate.
    NodeIndex nearest = kNoNode;
    for (NodeIndex above = 0; above < graph.node_count(); ++above) {
      if (above != node && lost[above][node] && (nearest == kNoNode || lost[nearest][above])) nearest = above;
    }
    ASSERT_EQ(graph.dominator[node], nearest) << "node " << node;
    std::uint64_t retained = reference.reached(node) ? 0 : graph.size[node];
    for (NodeIndex i = 0; i < graph.node_count(); ++i) retained += lost[node][i] ? graph.size[i] : 0;
    ASSERT_EQ(graph.retained[node], retained) << "node " << node;
  }
  for (TypeId type = 0; type < graph.types.size(); ++type) {
    TypeEntry expected;
    for (NodeIndex node = 0; node < graph.node_count(); ++node) {
      if (graph.type[node] != type || (graph.flags[node] & kNodeSynthetic) != 0) continue;
      ++expected.count;
      expected.size += graph.size[node];
      bool inside = false;
      for (NodeIndex above = 0; above < graph.node_count(); ++above) {
        inside |= above != node && lost[above][node] && graph.type[above] == type &&
                  (graph.flags[above] & kNodeSynthetic) == 0;
      }
      if (!inside) expected.retained += graph.retained[node];
    }
    ASSERT_EQ(graph.types[type].count, expected.count);
    ASSERT_EQ(graph.types[type].size, expected.size);
    ASSERT_EQ(graph.types[type].retained, expected.retained);
  }
}

TEST(Retained, IsWhatBecomesUnreachableOnRandomGraphs) {
  std::mt19937 random(20261121);
  for (int round = 0; round < 1500; ++round) {
    HeapGraph graph = random_graph(random);
    compute_retained(graph);
    expect_like_reference(graph);
    if (HasFatalFailure()) FAIL() << "in round " << round;
  }
}

TEST(Retained, OfAllThatRootsHoldIsTheWholeHeap) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    HeapGraph graph = random_graph(random);
    analyze(graph);

    std::uint64_t sizes = 0;
    std::uint64_t tops = 0;
    for (NodeIndex node = 0; node < graph.node_count(); ++node) {
      sizes += graph.size[node];
      if (graph.dominator[node] == kNoNode) tops += graph.retained[node];
    }

    ASSERT_EQ(tops, sizes);
  }
}

TEST(UnknownRoots, ReachEverythingAndAreNoneTooMany) {
  std::mt19937 random(99);
  for (int round = 0; round < 1500; ++round) {
    HeapGraph graph = random_graph(random);
    const std::size_t named = graph.roots.size();
    add_unknown_roots(graph);

    const Reference whole(graph);
    for (NodeIndex node = 0; node < graph.node_count(); ++node) ASSERT_TRUE(whole.reached(node));
    for (std::size_t i = named; i < graph.roots.size(); ++i) {
      ASSERT_EQ(graph.roots[i].kind, RootKind::kUnknown);
      bool owned_by_another = false;
      for (std::size_t edge = 0; edge < graph.edge_count(); ++edge) {
        const auto owner = static_cast<NodeIndex>(
            std::upper_bound(graph.edge_begin.begin(), graph.edge_begin.end(), edge) - graph.edge_begin.begin() - 1);
        owned_by_another |=
            graph.edge_target[edge] == graph.roots[i].node && owner != graph.roots[i].node && whole.owning(edge);
      }
      if (!owned_by_another) continue;  // needed whatever the others are
      HeapGraph without = graph;
      without.roots.erase(without.roots.begin() + static_cast<std::ptrdiff_t>(i));
      ASSERT_FALSE(Reference(without).reached(graph.roots[i].node)) << "round " << round;
    }
  }
}

TEST(UnknownRoots, TakeTheLowestNodeOfACycle) {
  FakeGraph builder;
  for (int i = 0; i < 6; ++i) builder.node("t", 1);
  builder.edge(1, 2);  // 0 is held by the cycle 1-2-3 alone
  builder.edge(2, 3);
  builder.edge(3, 1);
  builder.edge(3, 0);
  builder.edge(5, 4);  // 5 has no owner
  HeapGraph graph = builder.build();

  add_unknown_roots(graph);

  ASSERT_EQ(graph.roots.size(), 2u);
  EXPECT_EQ(graph.roots[0].node, 5u);
  EXPECT_EQ(graph.roots[1].node, 1u);
}

TEST(Retained, LeavesAModuleItsNamespaceWhenItsFunctionsAreImportedElsewhere) {
  FakeGraph builder;
  const NodeIndex cart = builder.node("builtins.module", 10);
  const NodeIndex cart_dict = builder.node("builtins.dict", 100);
  const NodeIndex function = builder.node("builtins.function", 7);
  const NodeIndex web = builder.node("builtins.module", 10);
  const NodeIndex cache = builder.node("builtins.dict", 1000);
  builder.field(cart, cart_dict, "__dict__");
  builder.edge(cart_dict, function);
  builder.edge(cart_dict, cache);
  builder.field(function, cart_dict, "__globals__");
  builder.edge(web, function);
  builder.root(cart);
  builder.root(web);
  HeapGraph graph = builder.build();

  analyze(graph);

  EXPECT_EQ(graph.dominator[cart_dict], cart);
  EXPECT_EQ(graph.retained[cart], 1110u);
  EXPECT_EQ(graph.dominator[function], kNoNode);
}

TEST(Retained, LeavesAModuleItsNamespaceWhoeverElseKnowsIt) {
  FakeGraph builder;
  const NodeIndex module = builder.node("builtins.module", 10);
  const NodeIndex names = builder.node("builtins.dict", 100);
  const NodeIndex other = builder.node("builtins.list", 1);
  builder.field(module, names, "__dict__");
  builder.edge(other, names);
  builder.root(module);
  builder.root(other);
  HeapGraph graph = builder.build();

  analyze(graph);

  EXPECT_EQ(graph.dominator[names], module);
  EXPECT_EQ(graph.retained[module], 110u);
}

TEST(Retained, GivesANamespaceToTheFunctionThatAloneKeepsIt) {
  FakeGraph builder;
  const NodeIndex holder = builder.node("builtins.list", 1);
  const NodeIndex function = builder.node("builtins.function", 2);
  const NodeIndex globals = builder.node("builtins.dict", 4);
  const NodeIndex entry = builder.node("builtins.list", 8);
  builder.edge(holder, function);
  builder.field(function, globals, "__globals__");
  builder.edge(globals, entry);
  builder.root(holder);
  HeapGraph graph = builder.build();

  analyze(graph);

  EXPECT_EQ(graph.roots.size(), 1u);
  EXPECT_EQ(graph.dominator[globals], function);
  EXPECT_EQ(graph.retained[function], 14u);
}

TEST(Retained, GivesAnInternedStringToItsOwner) {
  FakeGraph builder;
  const NodeIndex interned = builder.node("builtins.dict", 100);
  const NodeIndex module = builder.node("builtins.module", 1);
  const NodeIndex used = builder.node("builtins.str", 50);
  const NodeIndex unused = builder.node("builtins.str", 60);
  builder.edge(interned, used, EdgeLabel::of(Label::kKey));
  builder.edge(interned, unused, EdgeLabel::of(Label::kKey));
  builder.edge(module, used);
  builder.root(interned, RootKind::kInterned);
  builder.root(module);
  HeapGraph graph = builder.build();

  analyze(graph);

  EXPECT_EQ(graph.dominator[used], module);
  EXPECT_EQ(graph.dominator[unused], interned);
  EXPECT_EQ(graph.retained[interned], 160u);
}

TEST(Retained, LeavesTheBuiltinsToTheirModule) {
  FakeGraph builder;
  const NodeIndex builtins = builder.node("builtins.module", 1);
  const NodeIndex names = builder.node("builtins.dict", 10);
  const NodeIndex shop = builder.node("builtins.dict", 1);
  const NodeIndex key = builder.text("__builtins__");
  builder.field(builtins, names, "__dict__");
  builder.entry(shop, key, names);
  builder.root(builtins);
  builder.root(shop);
  HeapGraph graph = builder.build();

  analyze(graph);

  EXPECT_EQ(graph.dominator[names], builtins);
}

TEST(Retained, CountsAnInstanceInsideAnotherOnceInItsType) {
  FakeGraph builder;
  const NodeIndex outer = builder.node("builtins.list", 10);
  const NodeIndex tuple = builder.node("builtins.tuple", 20);
  const NodeIndex inner = builder.node("builtins.list", 40);
  builder.edge(outer, tuple);
  builder.edge(tuple, inner);
  builder.root(outer);
  HeapGraph graph = builder.build();

  analyze(graph);

  EXPECT_EQ(graph.types[graph.type[outer]].retained, 70u);
  EXPECT_EQ(graph.types[graph.type[outer]].size, 50u);
  EXPECT_EQ(graph.types[graph.type[tuple]].retained, 60u);
}

TEST(Retained, FollowsAChainOfAMillion) {
  constexpr NodeIndex kLength = 1'000'000;
  FakeGraph builder;
  for (NodeIndex i = 0; i < kLength; ++i) builder.node("builtins.list", 1);
  for (NodeIndex i = 0; i + 1 < kLength; ++i) {
    builder.edge(i, i + 1);
    builder.edge(i + 1, i);
  }
  builder.root(0);
  HeapGraph graph = builder.build();

  analyze(graph);

  EXPECT_EQ(graph.retained[0], kLength);
  EXPECT_EQ(graph.dominator[kLength - 1], kLength - 2);
  EXPECT_EQ(graph.types[0].retained, kLength);
}

TEST(Retained, RefusesColumnsThatDoNotFit) {
  FakeGraph builder;
  builder.node("t", 1);
  HeapGraph graph = builder.build();
  graph.size.clear();

  EXPECT_THROW(analyze(graph), std::invalid_argument);
  HeapGraph empty;
  EXPECT_NO_THROW(analyze(empty));
}

}  // namespace
}  // namespace memsnap
