#include "snapshot/model/heap_graph.h"

#include <gtest/gtest.h>

namespace memsnap {
namespace {

TEST(HeapGraph, FindsANodeByItsExactAddress) {
  HeapGraph graph;
  graph.address = {0x1000, 0x1040, 0x2000};

  EXPECT_EQ(graph.find(0x1040), 1u);
  EXPECT_EQ(graph.find(0x1041), kNoNode);
  EXPECT_EQ(graph.find(0x3000), kNoNode);
  EXPECT_EQ(HeapGraph{}.find(0x1000), kNoNode);
}

TEST(HeapGraph, HasTheKeptTextsOnly) {
  HeapGraph graph;
  graph.text_node = {3, 7};
  graph.text = {graph.strings.add("first"), graph.strings.add("second")};

  EXPECT_EQ(graph.text_of(7), "second");
  EXPECT_EQ(graph.text_of(5), "");
}

TEST(HeapGraph, NamesTheTypeOfANode) {
  HeapGraph graph;
  graph.types = {{.name = graph.strings.add("builtins.dict")}};
  graph.type = {0, 9};

  EXPECT_EQ(graph.type_name(0), "builtins.dict");
  EXPECT_EQ(graph.type_name(1), "");
  EXPECT_EQ(graph.type_name(2), "");
}

TEST(RootKindName, IsAWordForEachKind) {
  EXPECT_EQ(root_kind_name(RootKind::kModule), "module");
  EXPECT_EQ(root_kind_name(RootKind::kModuleState), "module state");
  EXPECT_EQ(root_kind_name(RootKind::kUnknown), "unknown");
}

TEST(EdgeLabel, HoldsKindAndName) {
  const EdgeLabel by_text = EdgeLabel::named_by(Label::kAttribute, 12345);

  EXPECT_EQ(by_text.kind(), Label::kAttribute);
  EXPECT_TRUE(by_text.has_node());
  EXPECT_EQ(by_text.payload(), 12345u);
  EXPECT_FALSE(EdgeLabel::named(Label::kStack, 7).has_node());
  EXPECT_EQ(EdgeLabel::named(Label::kField, EdgeLabel::kPayloadMax + 1).payload(), 0u);
}

}  // namespace
}  // namespace memsnap
