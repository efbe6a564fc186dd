#include "snapshot/walk/graph_builder.h"

#include <gtest/gtest.h>

#include <random>

namespace memsnap {
namespace {

constexpr std::uint64_t kA = 0x7f0000001000;
constexpr std::uint64_t kB = 0x7f0000002000;
constexpr std::uint64_t kC = 0x7f0000003000;

std::uint64_t edge(std::uint64_t target, EdgeKind kind) {
  return target | static_cast<std::uint64_t>(kind) << kEdgeKindShift;
}
std::uint64_t mark(WordKind kind, std::uint64_t address = 0) {
  return address | static_cast<std::uint64_t>(kind) << kEdgeKindShift;
}
std::vector<std::uint64_t> record(std::uint64_t address, std::uint64_t size, std::uint64_t type,
                                  std::vector<std::uint64_t> edges) {
  std::vector<std::uint64_t> words = {address, size, type << 32 | kObjectTracked};
  words.insert(words.end(), edges.begin(), edges.end());
  words.push_back(0);
  return words;
}
HeapGraph finished(GraphBuilder& builder) {
  HeapGraph graph;
  builder.finish(graph, [](std::uint32_t id) { return id; });
  return graph;
}

TEST(GraphBuilder, OrdersNodesByAddressAndKeepsTheirEdges) {
  GraphBuilder builder(true);
  builder.words(record(kC, 30, 2, {edge(kA, EdgeKind::kItem), edge(kB, EdgeKind::kItem)}));
  builder.words(record(kA, 10, 0, {}));
  builder.words(record(kB, 20, 1, {edge(kA, EdgeKind::kAttribute) | kEdgeNamed, kC}));

  const HeapGraph graph = finished(builder);

  EXPECT_EQ(graph.address, (std::vector<std::uint64_t>{kA, kB, kC}));
  EXPECT_EQ(graph.size, (std::vector<std::uint64_t>{10, 20, 30}));
  EXPECT_EQ(graph.type, (std::vector<TypeId>{0, 1, 2}));
  EXPECT_EQ(graph.edge_begin, (std::vector<std::uint32_t>{0, 0, 1, 3}));
  EXPECT_EQ(graph.edge_target, (std::vector<NodeIndex>{0, 0, 1}));
  EXPECT_EQ(graph.edge_label[0].kind(), Label::kAttribute);
  EXPECT_TRUE(graph.edge_label[0].has_node());
  EXPECT_EQ(graph.edge_label[0].payload(), 2u);
}

// The program of a static Python is below 2^27, and so are its own strings.
TEST(GraphBuilder, NameAtALowAddressIsAnObject) {
  constexpr std::uint64_t kLow = 0x98f2c0;
  GraphBuilder builder(true);
  builder.words(record(kLow, 50, 0, {}));
  builder.words(record(kA, 10, 1, {edge(kLow, EdgeKind::kAttribute) | kEdgeNamed, kLow}));
  builder.words(record(kB, 10, 1, {edge(kLow, EdgeKind::kField) | kEdgeNamed, kLow}));
  builder.words(record(kC, 10, 1, {edge(kLow, EdgeKind::kField) | kEdgeNamed, 1ull << 62 | 77}));

  const HeapGraph graph = finished(builder);

  ASSERT_EQ(graph.edge_label.size(), 3u);
  EXPECT_TRUE(graph.edge_label[0].has_node());
  EXPECT_EQ(graph.edge_label[0].payload(), 0u);
  EXPECT_FALSE(graph.edge_label[1].has_node());
  EXPECT_FALSE(graph.edge_label[2].has_node());
  EXPECT_EQ(graph.edge_label[2].payload(), 0u);
}

TEST(GraphBuilder, DoesNotCareWhereTheStreamIsCut) {
  std::vector<std::uint64_t> stream = record(kA, 10, 0, {edge(kB, EdgeKind::kField) | kEdgeNamed, 5});
  const auto second = record(kB, 20, 1, {edge(kA, EdgeKind::kItem)});
  stream.insert(stream.end(), second.begin(), second.end());
  for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
    GraphBuilder builder(true);
    builder.words(std::span(stream).first(cut));
    builder.words(std::span(stream).subspan(cut));
    const HeapGraph graph = finished(builder);
    EXPECT_EQ(graph.node_count(), 2u);
    EXPECT_EQ(graph.edge_target, (std::vector<NodeIndex>{1, 0}));
    EXPECT_EQ(graph.edge_label[0].payload(), 5u);
  }
}

TEST(GraphBuilder, NamesWhatTpTraverseRepeats) {
  GraphBuilder builder(true);
  builder.words(record(kA, 10, 0,
                       {edge(kB, EdgeKind::kField) | kEdgeNamed, 3, mark(WordKind::kTraversed),
                        edge(kB, EdgeKind::kNone), edge(kC, EdgeKind::kNone)}));
  builder.words(record(kB, 10, 0, {}));
  builder.words(record(kC, 10, 0, {}));

  const HeapGraph graph = finished(builder);

  EXPECT_EQ(graph.edge_target, (std::vector<NodeIndex>{1, 2}));
  EXPECT_EQ(graph.edge_label[0].kind(), Label::kField);
  EXPECT_EQ(graph.edge_label[1].kind(), Label::kNone);
}

TEST(GraphBuilder, NamesRepeatedEdgesOfLargeObjectsInAnyOrder) {
  constexpr std::uint64_t kCount = 100;
  std::vector<std::uint64_t> edges;
  for (std::uint64_t i = 0; i < kCount; ++i) edges.push_back(edge(kB + 16 * i, EdgeKind::kItem));
  edges.push_back(mark(WordKind::kTraversed));
  for (std::uint64_t i = kCount; i-- > 0;) edges.push_back(edge(kB + 16 * i, EdgeKind::kNone));
  edges.push_back(edge(kC, EdgeKind::kNone));
  GraphBuilder builder(true);
  builder.words(record(kA, 10, 0, edges));
  for (std::uint64_t i = 0; i < kCount; ++i) builder.words(record(kB + 16 * i, 1, 0, {}));
  builder.words(record(kC, 1, 0, {}));

  EXPECT_EQ(finished(builder).edge_count(), kCount + 1);
}

TEST(GraphBuilder, ForgetsAnAbandonedRecordButNotItsDeferredObjects) {
  GraphBuilder builder(true);
  auto words =
      record(kA, 10, 0, {edge(kB, EdgeKind::kItem), mark(WordKind::kDeferred, kC), mark(WordKind::kAbandoned)});
  words.pop_back();
  builder.words(words);
  builder.words(record(kB, 20, 1, {}));

  EXPECT_EQ(builder.take_deferred(), std::vector<std::uint64_t>{kC});
  EXPECT_EQ(builder.objects(), 1u);
  EXPECT_EQ(finished(builder).address, std::vector<std::uint64_t>{kB});
}

TEST(GraphBuilder, RejectsASecondRecordOfAnObject) {
  GraphBuilder builder(true);
  builder.words(record(kA, 10, 0, {}));
  builder.words(record(kA, 11, 0, {edge(kA, EdgeKind::kItem)}));

  EXPECT_EQ(builder.rejected(), 1u);
  EXPECT_EQ(finished(builder).size, std::vector<std::uint64_t>{10});
}

TEST(GraphBuilder, DropsEdgesToWhatIsNoNode) {
  GraphBuilder builder(true);
  builder.words(record(kA, 10, 0, {edge(kB, EdgeKind::kWeak) | kEdgeNamed, 4, edge(kA, EdgeKind::kItem)}));

  EXPECT_EQ(finished(builder).edge_target, std::vector<NodeIndex>{0});
}

TEST(GraphBuilder, KeepsNoEdgesWhereOnlyTypesAreWanted) {
  GraphBuilder builder(false);
  builder.words(record(kA, 10, 0, {edge(kA, EdgeKind::kItem), mark(WordKind::kTraversed), edge(kA, EdgeKind::kNone)}));

  const HeapGraph graph = finished(builder);
  EXPECT_EQ(graph.node_count(), 1u);
  EXPECT_EQ(graph.edge_count(), 0u);
}

TEST(GraphBuilder, SurvivesAnyStream) {
  std::mt19937_64 random(11);
  for (int run = 0; run < 200; ++run) {
    GraphBuilder builder(true);
    std::vector<std::uint64_t> stream;
    for (int i = 0; i < 300; ++i) {
      const std::uint64_t word = random();
      stream.push_back(word % 5 == 0 ? 0 : word % 5 == 1 ? word >> 17 : word % 5 == 2 ? kA + (word >> 60) * 16 : word);
    }
    builder.words(stream);
    const HeapGraph graph = finished(builder);
    EXPECT_EQ(graph.edge_begin.back(), graph.edge_count());
    for (const NodeIndex target : graph.edge_target) EXPECT_LT(target, graph.node_count());
  }
}

}  // namespace
}  // namespace memsnap
