#include "snapshot/memory/thread_stacks.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/cpython/fake_memory.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kStack = 0x7f0000000000;
constexpr std::uint64_t kSize = 0x10000;

// A stack with its thread's descriptor near the end, as glibc 2.36 makes it: where the fields are does not matter.
std::uint64_t put_stack(FakeMemory& memory, std::uint64_t begin) {
  const std::uint64_t thread = begin + kSize - 2368;
  memory.put(thread, thread);
  memory.put(thread + 16, thread);
  memory.put(thread + 1680, begin);
  memory.put(thread + 1688, kSize);
  memory.put<std::uint64_t>(thread + 1696, 4096);
  return thread;
}

TEST(ThreadStacks, AreFoundAtTheEndOfMemoryAndBelowEachOther) {
  FakeMemory memory;
  memory.map(kStack, 3 * kSize);
  put_stack(memory, kStack);
  put_stack(memory, kStack + kSize);
  put_stack(memory, kStack + 2 * kSize);

  const auto stacks = find_thread_stacks(memory, std::vector<memsnap::Run>{{kStack, kStack + 3 * kSize}}, {});

  ASSERT_EQ(stacks.size(), 1u);  // they touch
  EXPECT_EQ(stacks[0].begin, kStack);
  EXPECT_EQ(stacks[0].end, kStack + 3 * kSize);
}

TEST(ThreadStacks, OneInTheMiddleOfOtherMemoryIsFoundByItsThread) {
  FakeMemory memory;
  memory.map(kStack, 4 * kSize);
  const std::vector<std::uint64_t> threads{put_stack(memory, kStack + kSize), 0x1234, kStack + 3 * kSize + 8};

  const auto stacks = find_thread_stacks(memory, std::vector<memsnap::Run>{{kStack, kStack + 4 * kSize}}, threads);

  ASSERT_EQ(stacks.size(), 1u);
  EXPECT_EQ(stacks[0].begin, kStack + kSize);
  EXPECT_EQ(stacks[0].end, kStack + 2 * kSize);
}

TEST(ThreadStacks, ADescriptorWithoutAStackAroundItIsNone) {
  FakeMemory memory;
  memory.map(kStack, kSize);
  const std::uint64_t thread = put_stack(memory, kStack);
  memory.put<std::uint64_t>(thread + 1680, thread + 4096);  // begins above the thread
  EXPECT_TRUE(find_thread_stacks(memory, std::vector<memsnap::Run>{{kStack, kStack + kSize}}, {}).empty());
  memory.put<std::uint64_t>(thread + 1680, 0x1000);
  memory.put<std::uint64_t>(thread + 1688, ~0xfffull);  // as long as the address space
  EXPECT_TRUE(find_thread_stacks(memory, std::vector<memsnap::Run>{{kStack, kStack + kSize}}, {}).empty());
}

TEST(ThreadStacks, ChunksOfFramesHangOnAThreadState) {
  FakeMemory memory;
  constexpr std::uint64_t kState = 0x600000;
  memory.map(kState, 256);
  memory.map(kStack, 4 * kSize);
  memory.put(kState + 80, kStack + kSize);
  memory.put(kStack + kSize, kStack);  // previous
  memory.put<std::uint64_t>(kStack + kSize + 8, 32768);
  memory.put<std::uint64_t>(kStack + 8, 16384);
  memory.put(kStack, kStack + kSize);  // a circle

  const auto chunks = find_frame_stacks(memory, std::vector<memsnap::Run>{{kStack, kStack + 4 * kSize}},
                                        std::vector<std::uint64_t>{kState}, 256);

  ASSERT_EQ(chunks.size(), 2u);
  EXPECT_EQ(chunks[0].end, kStack + 16384);
  EXPECT_EQ(chunks[1].end, kStack + kSize + 32768);
}

}  // namespace
}  // namespace memsnap
