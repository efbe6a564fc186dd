#include "snapshot/cpython/debug_offsets.h"

#include <gtest/gtest.h>

#include "attach/base/error.h"
#include "snapshot/cpython/py_layout.h"
#include "tests/unit/cpython/fake_memory.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kRuntime = 0x10000;

FakeMemory runtime_of(std::uint64_t version, std::uint64_t free_threaded) {
  FakeMemory memory;
  memory.map(kRuntime, 4096);
  memory.put_text(kRuntime, "xdebugpy");
  memory.put(kRuntime + 8, version);
  memory.put(kRuntime + 16, free_threaded);
  // Each word is its own number, so that a test sees which one was taken.
  for (std::uint64_t word = 3; word < 512; ++word) memory.put(kRuntime + 8 * word, word);
  return memory;
}

TEST(DebugOffsets, OlderReleasesHaveNone) {
  FakeMemory memory;
  memory.map(kRuntime, 4096);

  EXPECT_FALSE(read_debug_offsets(memory, kRuntime));
  EXPECT_FALSE(read_debug_offsets(memory, 0xdead0000));
}

TEST(DebugOffsets, SayVersionAndThreading) {
  const auto offsets = read_debug_offsets(runtime_of(0x030d00f0, 0), kRuntime);
  const auto threaded = read_debug_offsets(runtime_of(0x030e0af0, 1), kRuntime);

  EXPECT_EQ(offsets->version.text(), "3.13.0");
  EXPECT_FALSE(offsets->free_threaded);
  EXPECT_TRUE(threaded->free_threaded);
}

TEST(DebugOffsets, AnUnknownReleaseStillSaysItsVersion) {
  const auto offsets = read_debug_offsets(runtime_of(0x031000a1, 1), kRuntime);

  EXPECT_EQ(offsets->version.text(), "3.16.0a1");
  EXPECT_TRUE(offsets->free_threaded);
  EXPECT_TRUE(offsets->words.empty());
}

TEST(DebugOffsets, WinOverTheTableWhereTheyHaveAField) {
  HeapLayout layout = layout_for(0x030d00f0);

  overlay(*read_debug_offsets(runtime_of(0x030d00f0, 0), kRuntime), layout);

  EXPECT_EQ(layout.runtime.interpreters_head, 5u);
  EXPECT_EQ(layout.interpreter.gc, 10u);
  EXPECT_EQ(layout.thread.native_thread_id, 25u);
  EXPECT_EQ(layout.code.co_code_adaptive, 43u);
  EXPECT_EQ(layout.interpreter.gc_collecting, 72u);
  EXPECT_EQ(layout.type.tp_mro, layout_for(0x030d00f0).type.tp_mro);
}

TEST(DebugOffsets, ReleasesOrderTheirWordsDifferently) {
  HeapLayout layout = layout_for(0x030f00f0);

  overlay(*read_debug_offsets(runtime_of(0x030f00f0, 0), kRuntime), layout);

  EXPECT_EQ(layout.interpreter.gc, 11u);
  EXPECT_EQ(layout.thread.base_frame, 27u);
  EXPECT_EQ(layout.type.tp_basicsize, 64u);
  EXPECT_EQ(layout.generator.frame_state, 102u);
}

TEST(DebugOffsets, AnAbsurdOffsetIsRefused) {
  FakeMemory memory = runtime_of(0x030e00f0, 0);
  memory.put<std::uint64_t>(kRuntime + 8 * 11, ~0ull);
  HeapLayout layout = layout_for(0x030e00f0);

  EXPECT_THROW(overlay(*read_debug_offsets(memory, kRuntime), layout), Error);
}

TEST(DebugOffsets, CutShortByTheEndOfAMappingAreNotThere) {
  FakeMemory memory;
  memory.map(kRuntime, 64);
  memory.put_text(kRuntime, "xdebugpy");
  memory.put<std::uint64_t>(kRuntime + 8, 0x030e00f0);

  EXPECT_FALSE(read_debug_offsets(memory, kRuntime));
}

}  // namespace
}  // namespace memsnap
