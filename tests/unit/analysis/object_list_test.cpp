#include "snapshot/analysis/object_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include "snapshot/analysis/reachability.h"
#include "snapshot/analysis/references.h"
#include "snapshot/analysis/retained.h"
#include "tests/unit/analysis/fake_graph.h"

namespace memsnap {
namespace {

std::uint32_t below(std::mt19937& random, std::size_t bound) { return static_cast<std::uint32_t>(random() % bound); }

HeapGraph random_graph(std::mt19937& random, std::uint32_t most) {
  FakeGraph graph;
  const std::uint32_t nodes = 1 + below(random, most);
  for (std::uint32_t node = 0; node < nodes; ++node) {
    const std::uint8_t flags = random() % 10 == 0 ? std::uint8_t{kNodeSynthetic} : std::uint8_t{0};
    graph.node(random() % 2 == 0 ? "builtins.list" : "shop.Cart", 16 * std::uint64_t{below(random, 8)}, flags);
  }
  const std::uint32_t degree = 2 + below(random, 4);
  for (std::uint32_t node = 0; node < nodes; ++node) {
    for (std::uint32_t i = below(random, degree); i > 0; --i) {
      graph.edge(node, below(random, nodes), EdgeLabel::of(random() % 5 == 0 ? Label::kWeak : Label::kItem));
    }
  }
  for (std::uint32_t i = below(random, 4); i > 0; --i) {
    graph.root(below(random, nodes), random() % 2 == 0 ? RootKind::kModule : RootKind::kUnknown);
  }
  return graph.build();
}

bool is_weak(const HeapGraph& graph, std::uint32_t edge) { return graph.edge_label[edge].kind() == Label::kWeak; }

// Which nodes each leads to, by relaxing until nothing changes.
std::vector<std::set<NodeIndex>> naive_closure(const HeapGraph& graph) {
  std::vector<std::set<NodeIndex>> leads(graph.node_count());
  for (bool changed = true; changed;) {
    changed = false;
    for (NodeIndex from = 0; from < graph.node_count(); ++from) {
      const std::size_t before = leads[from].size();
      for (std::uint32_t edge = graph.edge_begin[from]; edge < graph.edge_begin[from + 1]; ++edge) {
        if (is_weak(graph, edge)) continue;
        const NodeIndex to = graph.edge_target[edge];
        leads[from].insert(to);
        const std::set<NodeIndex> beyond = leads[to];
        leads[from].insert(beyond.begin(), beyond.end());
      }
      changed = changed || leads[from].size() != before;
    }
  }
  return leads;
}

TEST(Cycles, AreThoseOfANaiveAlgorithmOnRandomGraphs) {
  std::mt19937 random(11);
  std::size_t seen = 0;
  for (int round = 0; round < 300; ++round) {
    const HeapGraph graph = random_graph(random, 60);
    const auto leads = naive_closure(graph);

    const Cycles cycles = find_cycles(graph, FollowedEdges(graph));

    std::map<std::uint32_t, std::uint32_t> objects;
    for (NodeIndex a = 0; a < graph.node_count(); ++a) {
      bool in_one = false;
      for (NodeIndex b = 0; b < graph.node_count(); ++b) {
        const bool together = a != b && leads[a].count(b) != 0 && leads[b].count(a) != 0;
        in_one = in_one || together;
        if (together) {
          EXPECT_EQ(cycles.number[a], cycles.number[b]);
        } else if (a != b && cycles.number[a] != 0) {
          EXPECT_NE(cycles.number[a], cycles.number[b]);
        }
      }
      EXPECT_EQ(cycles.number[a] != 0, in_one);
      if (in_one) objects[cycles.number[a]] += (graph.flags[a] & kNodeSynthetic) == 0 ? 1u : 0u;
    }
    ASSERT_EQ(objects.size(), cycles.objects.size());
    for (const auto& [number, count] : objects) EXPECT_EQ(cycles.objects[number - 1], count);
    EXPECT_TRUE(std::is_sorted(cycles.objects.rbegin(), cycles.objects.rend()));
    seen += objects.size();
  }
  EXPECT_GT(seen, 200u);
}

TEST(Cycles, GoThroughClassesOnlyAmongTheUnreachable) {
  FakeGraph fake;
  const NodeIndex module = fake.node("builtins.module", 1);
  const NodeIndex live = fake.node("shop.Cart", 1);
  const NodeIndex live_class = fake.node("builtins.type", 1);
  const NodeIndex lost = fake.node("shop.Lost", 1);
  const NodeIndex lost_class = fake.node("builtins.type", 1);
  fake.root(module, RootKind::kModule, "shop");
  fake.edge(module, live_class);
  for (const auto& [object, its_class] : {std::pair(live, live_class), std::pair(lost, lost_class)}) {
    fake.edge(object, its_class, EdgeLabel::of(Label::kClass));
    fake.edge(its_class, object);
  }
  fake.root(lost, RootKind::kUnknown);
  const HeapGraph graph = fake.build();

  const BitSet unreachable = find_unreachable(graph);
  const Cycles cycles = find_cycles(graph, FollowedEdges(graph, unreachable));

  EXPECT_FALSE(unreachable.test(live));
  EXPECT_TRUE(unreachable.test(lost));
  EXPECT_EQ(cycles.objects, std::vector<std::uint32_t>{2});
  EXPECT_EQ(cycles.number[live], 0u);
  EXPECT_EQ(cycles.number[lost], 1u);
}

TEST(Reachability, IsThatOfTheNamedRoots) {
  std::mt19937 random(12);
  for (int round = 0; round < 100; ++round) {
    const HeapGraph graph = random_graph(random, 60);
    const auto leads = naive_closure(graph);
    std::set<NodeIndex> reached;
    for (const Root& root : graph.roots) {
      if (root.kind == RootKind::kUnknown) continue;
      reached.insert(root.node);
      reached.insert(leads[root.node].begin(), leads[root.node].end());
    }

    const BitSet unreachable = find_unreachable(graph);

    for (NodeIndex node = 0; node < graph.node_count(); ++node)
      EXPECT_EQ(unreachable.test(node), reached.count(node) == 0);
  }
}

TEST(ObjectList, RanksAreThePlacesInTheListByRetainedBytes) {
  std::mt19937 random(13);
  for (int round = 0; round < 50; ++round) {
    HeapGraph graph = random_graph(random, 100);
    analyze(graph);
    ObjectQuery all;
    all.rows = 0;
    const ObjectList list = list_objects(graph, all);

    ASSERT_EQ(list.shown.size(), list.count);
    std::uint64_t bytes = 0;
    for (std::size_t i = 0; i < list.shown.size(); ++i) {
      const NodeIndex node = list.shown[i].node;
      EXPECT_EQ(list.shown[i].rank, i + 1);
      EXPECT_EQ(object_of_rank(graph, i + 1), node);
      if (i > 0) {
        EXPECT_LE(graph.retained[node], graph.retained[list.shown[i - 1].node]);
      }
      bytes += graph.size[node];
    }
    EXPECT_EQ(list.bytes, bytes);
    EXPECT_EQ(object_of_rank(graph, list.count + 1), kNoNode);
    EXPECT_EQ(object_of_rank(graph, 0), kNoNode);
    EXPECT_EQ(largest_object(graph, {}, nullptr), list.shown.empty() ? kNoNode : list.shown[0].node);

    ObjectQuery few = all;
    few.rows = 5;
    few.types = types_named(graph, "list");
    few.sort = ObjectSort::kSize;
    for (const ListedObject& object : list_objects(graph, few).shown) {
      EXPECT_EQ(graph.type_name(object.node), "builtins.list");
      EXPECT_EQ(list.shown[object.rank - 1].node, object.node);
    }
  }
}

TEST(ObjectList, EverySortIsThatOfItsColumn) {
  std::mt19937 random(14);
  HeapGraph graph = random_graph(random, 200);
  analyze(graph);
  const auto column = [&](const ListedObject& object, ObjectSort sort) -> std::uint64_t {
    if (sort == ObjectSort::kSize) return graph.size[object.node];
    if (sort == ObjectSort::kReferrers) return object.referrers;
    if (sort == ObjectSort::kLength) return object.length.value_or(0);
    return graph.retained[object.node];
  };
  for (const ObjectSort sort :
       {ObjectSort::kRetained, ObjectSort::kSize, ObjectSort::kReferrers, ObjectSort::kLength}) {
    ObjectQuery query;
    query.sort = sort;
    query.rows = 30;
    const ObjectList list = list_objects(graph, query);
    ASSERT_GT(list.shown.size(), 10u);
    for (std::size_t i = 1; i < list.shown.size(); ++i) {
      EXPECT_GE(column(list.shown[i - 1], sort), column(list.shown[i], sort));
    }
  }
}

TEST(ObjectList, LimitsAreOfWhatItIsSortedBy) {
  FakeGraph fake;
  const NodeIndex holder = fake.node("shop.Cart", 10);
  fake.edge(holder, fake.node("builtins.list", 90));
  fake.root(holder);
  HeapGraph graph = fake.build();
  analyze(graph);
  ObjectQuery query;
  query.min_bytes = 95;

  EXPECT_EQ(list_objects(graph, query).count, 1u);
  query.sort = ObjectSort::kSize;
  EXPECT_EQ(list_objects(graph, query).count, 0u);
}

TEST(ObjectList, ReferrersAreDistinctAndNotWeak) {
  FakeGraph fake;
  const NodeIndex list = fake.node("builtins.list", 1);
  const NodeIndex weak = fake.node("weakref.ReferenceType", 1);
  const NodeIndex item = fake.node("shop.Cart", 1);
  fake.edge(list, item);
  fake.edge(list, item);
  fake.edge(weak, item, EdgeLabel::of(Label::kWeak));
  fake.edge(item, item);
  const HeapGraph graph = fake.build();

  EXPECT_EQ(count_referrers(graph), (std::vector<std::uint32_t>{0, 0, 2}));
  EXPECT_EQ(length_of(graph, list), 2u);
  EXPECT_EQ(length_of(graph, weak), std::nullopt);
}

TEST(References, AreThoseOfTheGraphOnceEachWithTheirIndex) {
  std::mt19937 random(15);
  for (int round = 0; round < 60; ++round) {
    const HeapGraph graph = random_graph(random, 40);
    const NodeIndex node = below(random, graph.node_count());
    std::multiset<std::uint32_t> outgoing;
    std::multiset<std::uint32_t> incoming;
    for (NodeIndex from = 0; from < graph.node_count(); ++from) {
      for (std::uint32_t edge = graph.edge_begin[from]; edge < graph.edge_begin[from + 1]; ++edge) {
        if (from == node) outgoing.insert(edge);
        if (graph.edge_target[edge] == node) incoming.insert(edge);
      }
    }
    const ReferenceLimits all{.depth = 1, .rows = 0};

    for (const bool forward : {true, false}) {
      const References found = forward ? find_referents(graph, node, all) : find_referrers(graph, node, all);
      std::multiset<std::uint32_t> edges;
      for (std::size_t i = 1; i < found.size(); ++i) {
        edges.insert(found[i].edge);
        EXPECT_EQ(found[i].node, forward ? graph.edge_target[found[i].edge] : found[i].from);
        std::uint64_t items = 0;
        for (std::uint32_t edge = graph.edge_begin[found[i].from]; edge < found[i].edge; ++edge) {
          items += graph.edge_label[edge].kind() == Label::kItem ? 1u : 0u;
        }
        EXPECT_EQ(found[i].items_before, items);
      }
      EXPECT_EQ(edges, forward ? outgoing : incoming);
    }
  }
}

TEST(References, DeeperOnesAreFollowedOnceAndCounted) {
  FakeGraph fake;
  const NodeIndex top = fake.node("builtins.list", 1);
  const NodeIndex middle = fake.node("builtins.list", 1);
  const NodeIndex weak = fake.node("builtins.list", 1);
  fake.edge(top, middle);
  fake.edge(top, weak, EdgeLabel::of(Label::kWeak));
  for (int i = 0; i < 5; ++i) fake.edge(middle, top);
  fake.edge(weak, middle);
  const HeapGraph graph = fake.build();

  const References below_top = find_referents(graph, top, {.depth = 9, .rows = 3});
  ASSERT_EQ(below_top.size(), 1u + 2 + 3);
  EXPECT_EQ(below_top[1].below, 3u);
  EXPECT_EQ(below_top[1].hidden_below, 2u);
  EXPECT_EQ(below_top[2].below, 0u);  // a weak reference is no way on

  const References above_top = find_referrers(graph, top, {.depth = 2, .rows = 1});
  ASSERT_EQ(above_top.size(), 3u);
  EXPECT_EQ(above_top[0].hidden_below, 4u);
  EXPECT_EQ(above_top[2].node, top);
}

}  // namespace
}  // namespace memsnap
