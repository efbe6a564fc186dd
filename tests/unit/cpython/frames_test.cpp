#include "snapshot/cpython/frames.h"

#include <gtest/gtest.h>

#include "snapshot/cpython/py_layout.h"
#include "tests/unit/cpython/fake_memory.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kFrames = 0x7f0000;

std::uint64_t frame_at(std::uint64_t number) { return kFrames + 512 * number; }

struct Stack {
  explicit Stack(std::uint32_t version_hex) {
    python.layout = layout_for(version_hex);
    memory.map(kFrames, 1u << 16);
  }
  void put_frame(std::uint64_t number, std::uint64_t code, std::uint64_t previous, std::uint8_t owner = 0) {
    const HeapLayout& layout = python.layout;
    const std::uint64_t frame = frame_at(number);
    if (layout.frame.size == 0) {
      memory.put(frame + layout.frame_object.f_code, code);
      memory.put(frame + layout.frame_object.f_back, previous);
    } else {
      memory.put(frame + layout.frame.executable, code);
      memory.put(frame + layout.frame.previous, previous);
      memory.put(frame + layout.frame.owner, owner);
    }
  }
  bool walk(std::uint64_t limit = 1000) {
    frames.clear();
    return for_each_frame(
        memory, python, {.current_frame = frame_at(0)}, [this](const RunningFrame& frame) { frames.push_back(frame); },
        limit);
  }

  FakeMemory memory;
  PythonProcess python;
  std::vector<RunningFrame> frames;
};

TEST(Frames, ComeInnermostFirstInEveryRelease) {
  for (const HeapLayout& layout : all_layouts()) {
    Stack stack(layout.since);
    stack.put_frame(0, 0x1000, frame_at(1));
    stack.put_frame(1, 0x2000, 0);

    EXPECT_TRUE(stack.walk()) << std::hex << layout.since;

    ASSERT_EQ(stack.frames.size(), 2u) << std::hex << layout.since;
    EXPECT_EQ(stack.frames[0].code, 0x1000u);
    EXPECT_EQ(stack.frames[1].address, frame_at(1));
  }
}

TEST(Frames, ReferencesLoseTheirTag) {
  Stack stack(0x030e0af0);
  stack.put_frame(0, 0x1001, 0);

  stack.walk();

  EXPECT_EQ(stack.frames[0].code, 0x1000u);
}

TEST(Frames, TheInterpretersOwnHaveNoCode) {
  for (const std::uint32_t version : {0x030c01f0u, 0x030d00f0u, 0x030e0af0u, 0x030f02f0u}) {
    Stack stack(version);
    stack.put_frame(0, 0x1000, frame_at(1), 1);
    stack.put_frame(1, 0x2000, frame_at(2), 3);
    stack.put_frame(2, 0x3000, 0, 2);

    EXPECT_TRUE(stack.walk());

    EXPECT_EQ(stack.frames[0].kind, FrameKind::kGenerator);
    EXPECT_EQ(stack.frames[1].kind, FrameKind::kInterpreter);
    EXPECT_EQ(stack.frames[1].code, 0u);
    EXPECT_EQ(stack.frames[2].kind, FrameKind::kObjectOwned);
  }
}

TEST(Frames, ACircleEndsAndIsReported) {
  Stack stack(0x030b07f0);
  for (std::uint64_t number = 0; number < 100; ++number) stack.put_frame(number, 0x1000, frame_at((number + 1) % 100));

  EXPECT_FALSE(stack.walk(1u << 20));
  EXPECT_LT(stack.frames.size(), 1000u);
}

TEST(Frames, AWildPointerEndsTheChain) {
  Stack stack(0x030812f0);
  stack.put_frame(0, 0x1000, 0xdead0000);

  EXPECT_FALSE(stack.walk());
  EXPECT_EQ(stack.frames.size(), 1u);
}

TEST(Frames, ALimitIsKept) {
  Stack stack(0x030d00f0);
  for (std::uint64_t number = 0; number < 50; ++number) stack.put_frame(number, 0x1000, frame_at(number + 1));
  stack.put_frame(50, 0x1000, 0);

  EXPECT_FALSE(stack.walk(20));
  EXPECT_EQ(stack.frames.size(), 20u);
  EXPECT_TRUE(stack.walk(51));
}

}  // namespace
}  // namespace memsnap
