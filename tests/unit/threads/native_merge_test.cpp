#include "snapshot/threads/native_merge.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace memsnap {
namespace {

constexpr const char* kLoop = "_PyEval_EvalFrameDefault";
constexpr std::uint64_t kStack = 0x7000;

// A thread whose C frames are 0x100 bytes each, the innermost at kStack.
SeenThread thread_with(const std::vector<std::string>& native, const std::vector<std::string>& python,
                       const std::vector<Segment>& segments) {
  SeenThread thread;
  thread.unwound = true;
  thread.native.complete = true;
  for (std::size_t i = 0; i < native.size(); ++i) {
    thread.native.frames.push_back({.stack_pointer = kStack + 0x100 * i});
    thread.symbols.push_back({.function = native[i], .file = "", .line = 0});
  }
  PythonStack stack;
  for (const std::string& function : python) stack.frames.push_back({.function = function});
  stack.segments = segments;
  thread.stacks.push_back(stack);
  return thread;
}

std::vector<std::string> names(const SeenThread& thread, const MergedStack& merged) {
  std::vector<std::string> all;
  for (const MergedFrame& frame : merged.frames)
    all.push_back(frame.python != nullptr ? frame.python->function : thread.symbols[frame.native].function);
  return all;
}

using Names = std::vector<std::string>;

TEST(NativeMerge, PythonFramesTakeThePlaceOfTheirLoops) {
  const SeenThread thread =
      thread_with({"futex", kLoop, "sorted", kLoop, "main"}, {"key", "inner", "outer"}, {{1}, {2}});

  const MergedStack merged = merge(thread);

  EXPECT_TRUE(merged.matched);
  EXPECT_EQ(names(thread, merged), (Names{"futex", "key", "sorted", "inner", "outer", "main"}));
}

TEST(NativeMerge, ALoopThatHasOnlyBegunHasNoFrames) {
  const SeenThread thread = thread_with({kLoop, "call", kLoop, "main"}, {"outer"}, {{1}});

  const MergedStack merged = merge(thread);

  EXPECT_TRUE(merged.matched);
  EXPECT_EQ(names(thread, merged), (Names{kLoop, "call", "outer", "main"}));
}

TEST(NativeMerge, AFrameBeforeItsLoopComesFirst) {
  const SeenThread thread = thread_with({"call", kLoop, "main"}, {"new", "outer"}, {{1}, {1}});

  const MergedStack merged = merge(thread);

  EXPECT_TRUE(merged.matched);
  EXPECT_EQ(names(thread, merged), (Names{"new", "call", "outer", "main"}));
}

TEST(NativeMerge, WithoutNamesTheLoopsAreKnownByTheirVariables) {
  const SeenThread thread =
      thread_with({"", "", "", "", "main"}, {"key", "inner", "outer"}, {{1, kStack + 0x120}, {2, kStack + 0x3f8}});

  const MergedStack merged = merge(thread);

  EXPECT_TRUE(merged.matched);
  EXPECT_EQ(names(thread, merged), (Names{"", "key", "", "inner", "outer", "main"}));
}

TEST(NativeMerge, VariablesThatLieNowhereAreNotTrusted) {
  const SeenThread thread = thread_with({"a", kLoop, "b"}, {"f"}, {{1, 0x10}});

  EXPECT_EQ(names(thread, merge(thread)), (Names{"a", "f", "b"}));
}

TEST(NativeMerge, WhatCannotBeMatchedIsSaid) {
  const SeenThread thread = thread_with({"a", "b"}, {"f", "g", "h"}, {{1}, {1}, {1}});

  const MergedStack merged = merge(thread);

  EXPECT_FALSE(merged.matched);
  EXPECT_EQ(names(thread, merged), (Names{"f", "g", "h", "a", "b"}));
}

TEST(NativeMerge, AnIncompleteStackIsMatchedFromItsInnerEnd) {
  SeenThread thread = thread_with({"a", kLoop, "b"}, {"f", "g", "h"}, {{1}, {1}, {1}});
  thread.native.complete = false;

  const MergedStack merged = merge(thread);

  EXPECT_EQ(names(thread, merged), (Names{"a", "f", "b", "g", "h"}));
}

TEST(NativeMerge, WithoutNativeFramesThePythonOnesRemain) {
  SeenThread thread = thread_with({}, {"f", "g"}, {{2}});
  thread.native.complete = false;

  EXPECT_EQ(names(thread, merge(thread)), (Names{"f", "g"}));
}

}  // namespace
}  // namespace memsnap
