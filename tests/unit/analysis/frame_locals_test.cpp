#include "snapshot/analysis/frame_locals.h"

#include <gtest/gtest.h>

#include "snapshot/analysis/retained.h"
#include "tests/unit/analysis/fake_graph.h"

namespace memsnap {
namespace {

TEST(FrameLocals, OnlyWhatNobodyElseHoldsIsRetained) {
  FakeGraph builder;
  const NodeIndex thread = builder.node("thread", 0);
  const NodeIndex frame = builder.node("frame", 0, kNodeSynthetic);
  const NodeIndex rows = builder.node("builtins.list", 100);
  const NodeIndex row = builder.node("builtins.tuple", 5000);
  const NodeIndex shared = builder.node("builtins.bytes", 9000);
  const NodeIndex on_stack = builder.node("builtins.bytes", 70);
  builder.root(thread, RootKind::kThread, "main");
  builder.edge(thread, frame, EdgeLabel::of(Label::kNone));
  builder.edge(thread, shared, EdgeLabel::of(Label::kNone));
  builder.named(frame, rows, Label::kLocal, "rows");
  builder.named(frame, shared, Label::kLocal, "shared");
  builder.named(frame, rows, Label::kLocal, "again");
  builder.edge(frame, on_stack, EdgeLabel::of(Label::kStack));
  builder.edge(rows, row, EdgeLabel::of(Label::kItem));
  builder.edge(rows, row, EdgeLabel::of(Label::kItem));
  HeapGraph graph = builder.build();
  compute_retained(graph);

  const FrameLocals locals = frame_locals(graph, graph.address[frame]);

  EXPECT_TRUE(locals.known);
  EXPECT_EQ(locals.retained, 5170u);
  EXPECT_EQ(locals.name, "shared");
  EXPECT_TRUE(locals.shared);
  EXPECT_EQ(locals.bytes, 9000u);
}

TEST(FrameLocals, AFrameThatIsNotThereIsNotKnown) {
  FakeGraph builder;
  builder.root(builder.node("thread", 0), RootKind::kThread, "main");
  HeapGraph graph = builder.build();
  compute_retained(graph);

  EXPECT_FALSE(frame_locals(graph, 0x1234567).known);
  EXPECT_FALSE(frame_locals(graph, 0).known);
}

}  // namespace
}  // namespace memsnap
