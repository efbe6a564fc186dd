#include "snapshot/analysis/suspects.h"

#include <gtest/gtest.h>

#include <string>

#include "snapshot/analysis/retained.h"
#include "tests/unit/analysis/fake_graph.h"

namespace memsnap {
namespace {

// A module with a namespace, in which tests put things; and enough small modules that nothing is large by itself.
struct SuspectHeap {
  SuspectHeap() {
    const NodeIndex module = graph.node("builtins.module", 72);
    names = graph.node("builtins.dict", 232);
    graph.field(module, names, "__dict__");
    graph.root(module, RootKind::kModule, "shop");
    for (int i = 0; i < 100; ++i) {
      graph.root(graph.node("builtins.module", 100), RootKind::kModule, "small " + std::to_string(i));
    }
  }
  NodeIndex variable(const std::string& name, const std::string& type, std::uint64_t size) {
    const NodeIndex node = graph.node(type, size);
    graph.entry(names, graph.text(name), node);
    return node;
  }
  std::vector<Suspect> suspects() {
    HeapGraph built = graph.build();
    analyze(built);
    return find_suspects(built);
  }
  FakeGraph graph;
  NodeIndex names;
};

TEST(Suspects, DictOfManyIsNamedWithItsCrowd) {
  SuspectHeap heap;
  const NodeIndex cache = heap.variable("CACHE", "builtins.dict", 500);
  for (int i = 0; i < 1000; ++i) {
    const NodeIndex entry = heap.graph.node("shop.Entry", 48);
    heap.graph.edge(entry, heap.graph.node("shop.Session", 100), EdgeLabel::of(Label::kItem));
    heap.graph.edge(cache, entry, EdgeLabel::of(Label::kItem));
  }

  const auto found = heap.suspects();

  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].path, "module shop.CACHE");
  EXPECT_EQ(found[0].type, "builtins.dict");
  EXPECT_EQ(found[0].retained, 148500u);
  EXPECT_NE(found[0].address, 0u);
  EXPECT_EQ(found[0].crowd_type, "shop.Entry");
  EXPECT_EQ(found[0].crowd_count, 1000u);
  EXPECT_EQ(found[0].crowd_retained, 148000u);
}

TEST(Suspects, OneLargeObjectIsNamedAlone) {
  SuspectHeap heap;
  heap.variable("BLOB", "builtins.bytes", 50000);

  const auto found = heap.suspects();

  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].path, "module shop.BLOB");
  EXPECT_EQ(found[0].crowd_count, 0u);
  EXPECT_EQ(found[0].crowd_type, "");
}

TEST(Suspects, TwoLargeOnesInOneHolderAreTwo) {
  SuspectHeap heap;
  const NodeIndex pair = heap.variable("PAIR", "builtins.list", 100);
  heap.graph.edge(pair, heap.graph.node("builtins.bytes", 60000), EdgeLabel::of(Label::kItem));
  heap.graph.edge(pair, heap.graph.node("builtins.bytearray", 40000), EdgeLabel::of(Label::kItem));

  const auto found = heap.suspects();

  ASSERT_EQ(found.size(), 2u);
  EXPECT_EQ(found[0].path, "module shop.PAIR[0]");
  EXPECT_EQ(found[1].path, "module shop.PAIR[1]");
}

TEST(Suspects, CrowdThatManyHoldHasNoPath) {
  SuspectHeap heap;
  const NodeIndex one = heap.variable("ONE", "builtins.list", 100);
  const NodeIndex two = heap.variable("TWO", "builtins.list", 100);
  for (int i = 0; i < 1000; ++i) {
    const NodeIndex session = heap.graph.node("shop.Session", 100);
    heap.graph.edge(one, session, EdgeLabel::of(Label::kItem));
    heap.graph.edge(two, session, EdgeLabel::of(Label::kItem));
  }

  // The namespace holds both lists, and so the crowd: one more holder from another module, and nobody does.
  EXPECT_EQ(heap.suspects().at(0).path, "module shop.__dict__");
  const NodeIndex other = heap.graph.node("builtins.module", 72);
  heap.graph.root(other, RootKind::kModule, "other");
  heap.graph.edge(other, one, EdgeLabel::of(Label::kItem));
  const auto found = heap.suspects();

  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].path, "");
  EXPECT_EQ(found[0].type, "shop.Session");
  EXPECT_EQ(found[0].crowd_count, 1000u);
  EXPECT_EQ(found[0].retained, 100000u);
}

TEST(Suspects, LinkedListIsNamedByItsHead) {
  SuspectHeap heap;
  NodeIndex last = heap.variable("HEAD", "shop.Node", 48);
  for (int i = 0; i < 5000; ++i) {
    const NodeIndex node = heap.graph.node("shop.Node", 48);
    heap.graph.edge(last, node, EdgeLabel::of(Label::kItem));
    last = node;
  }

  const auto found = heap.suspects();

  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].path, "module shop.HEAD");
  EXPECT_EQ(found[0].retained, 5001u * 48);
  EXPECT_EQ(found[0].crowd_type, "shop.Node");
}

TEST(Suspects, HeapWithoutLargePartsHasNone) { EXPECT_TRUE(SuspectHeap().suspects().empty()); }

}  // namespace
}  // namespace memsnap
