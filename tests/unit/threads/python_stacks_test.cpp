#include "snapshot/threads/python_stacks.h"

#include <gtest/gtest.h>

#include <random>

#include "snapshot/cpython/py_layout.h"
#include "tests/unit/cpython/fake_memory.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMemory = 0x100000;
constexpr std::uint64_t kCodeType = kMemory + 0x100;
constexpr std::uint64_t kCode = kMemory + 0x1000;
constexpr std::uint64_t kFrames = kMemory + 0x4000;

std::uint64_t frame_at(std::uint64_t number) { return kFrames + 512 * number; }

struct Stack {
  explicit Stack(std::uint32_t version) {
    python.layout = layout_for(version);
    python.types["PyCode_Type"] = kCodeType;
    memory.map(kMemory, 0x20000);
    memory.put(kCode + python.layout.object.ob_type, kCodeType);
  }
  void put_frame(std::uint64_t number, std::uint64_t previous, std::uint8_t owner = 0, bool entry = false) {
    const HeapLayout& layout = python.layout;
    const std::uint64_t frame = frame_at(number);
    if (layout.frame.size == 0) {
      memory.put(frame + layout.frame_object.f_code, kCode);
      memory.put(frame + layout.frame_object.f_back, previous);
      return;
    }
    memory.put(frame + layout.frame.executable, kCode);
    memory.put(frame + layout.frame.previous, previous);
    memory.put(frame + layout.frame.owner, owner);
    if (layout.frame.entry != 0) memory.put(frame + layout.frame.entry, std::uint8_t{entry});
  }
  PythonStack read() {
    CodeReader code(memory, python);
    return read_python_stack(memory, python, {.current_frame = frame_at(0)}, code);
  }
  std::vector<std::size_t> segments() {
    std::vector<std::size_t> sizes;
    for (const Segment& segment : read().segments) sizes.push_back(segment.frames);
    return sizes;
  }

  FakeMemory memory;
  PythonProcess python;
};

using Sizes = std::vector<std::size_t>;

TEST(PythonStacks, To310EachFrameHasALoop) {
  Stack stack(0x030a00f0);
  stack.put_frame(0, frame_at(1));
  stack.put_frame(1, 0);

  EXPECT_EQ(stack.segments(), (Sizes{1, 1}));
}

TEST(PythonStacks, In311AMarkEndsALoop) {
  Stack stack(0x030b07f0);
  stack.put_frame(0, frame_at(1));
  stack.put_frame(1, frame_at(2), 0, true);
  stack.put_frame(2, 0, 0, true);

  EXPECT_EQ(stack.segments(), (Sizes{2, 1}));
}

TEST(PythonStacks, From312AFrameOfTheInterpreterEndsALoop) {
  for (const std::uint32_t version : {0x030c01f0u, 0x030d00f0u, 0x030e0af0u, 0x030f02f0u}) {
    Stack stack(version);
    stack.put_frame(0, frame_at(1));
    stack.put_frame(1, frame_at(2), 3);
    stack.put_frame(2, frame_at(3));
    stack.put_frame(3, frame_at(4), 1);
    stack.put_frame(4, frame_at(5), 3);
    stack.put_frame(5, 0, 3);  // 3.15's own, below all

    const PythonStack read = stack.read();

    EXPECT_TRUE(read.complete);
    EXPECT_EQ(stack.segments(), (Sizes{1, 2}));
    EXPECT_EQ(read.segments[0].loop_local, frame_at(1));
    EXPECT_EQ(read.frames[2].frame.address, frame_at(3) - stack.python.layout.generator.frame);
  }
}

TEST(PythonStacks, WhatIsNoCodeEndsTheStack) {
  Stack stack(0x030c01f0);
  stack.put_frame(0, frame_at(1));
  stack.put_frame(1, frame_at(2));
  stack.memory.put(frame_at(1) + stack.python.layout.frame.executable, kFrames);
  stack.put_frame(2, 0);

  const PythonStack read = stack.read();

  EXPECT_FALSE(read.complete);
  EXPECT_EQ(read.frames.size(), 1u);
}

TEST(PythonStacks, ACircleEnds) {
  for (const HeapLayout& layout : all_layouts()) {
    Stack stack(layout.since | 0xf0);
    for (std::uint64_t i = 0; i < 100; ++i) stack.put_frame(i, frame_at((i + 1) % 100));

    const PythonStack read = stack.read();

    EXPECT_FALSE(read.complete);
    EXPECT_LT(read.frames.size(), 1000u);
  }
}

TEST(PythonStacks, RandomFramesDoNoHarm) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 400; ++round) {
    Stack stack(all_layouts()[static_cast<std::size_t>(round) % all_layouts().size()].since | 0xf0);
    for (std::uint64_t i = 0; i < 60; ++i)
      stack.put_frame(i, frame_at(random() % 64), static_cast<std::uint8_t>(random() % 6), random() % 2 != 0);
    for (int i = 0; i < 20; ++i) stack.memory.put(kFrames + random() % 0x7000, random());

    const PythonStack read = stack.read();

    std::size_t in_segments = 0;
    for (const Segment& segment : read.segments) in_segments += segment.frames;
    EXPECT_EQ(in_segments, read.frames.size());
  }
}

}  // namespace
}  // namespace memsnap
