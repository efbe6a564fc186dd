#include "snapshot/memory/python_blocks.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/memory/fake_malloc.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kArena = 0x20000000;

struct Target {
  FakeMalloc fake;
  std::vector<std::uint64_t> chunks;
  HeapGraph graph;
  std::vector<PymallocArena> arenas{{kArena, kArena + 0x10000, 1u << 20, 16384}};

  explicit Target(std::initializer_list<std::uint64_t> sizes) : chunks(fake.fill(sizes)) {
    fake.memory.map(kArena, 0x10000);
    graph.types.resize(1);
    graph.types[0].basic_size = 40;
  }
  void add(std::uint64_t address, std::uint64_t size) {  // in ascending order of address
    graph.address.push_back(address);
    graph.size.push_back(size);
    graph.type.push_back(0);
    graph.flags.push_back(0);
  }
  std::vector<std::uint64_t> found() {
    const MallocHeaps heaps =
        find_malloc_heaps(fake.memory, fake.memory, FakeMalloc::map(), FakeMalloc::data(), nullptr, {});
    return find_python_blocks(fake.memory, graph, heaps, arenas, {}).chunks;
  }
};

TEST(PythonBlocks, TheChunkOfAnObjectAndTheBlockThatItCounts) {
  Target target({0x1000, 0x800, 0x800});
  target.add(target.chunks[0] + 32, 0x900);  // behind a GC head
  target.add(kArena + 64, 0x800);            // a list: its items are in the third chunk
  target.fake.memory.put(kArena + 64 + 24, target.chunks[2] + 16);

  EXPECT_EQ(target.found(), (std::vector<std::uint64_t>{target.chunks[0], target.chunks[2]}));
}

TEST(PythonBlocks, ABlockThatIsNotCountedStaysNative) {
  Target target({0x20000});
  target.add(kArena + 64, 600);  // too small to count what it points to
  target.fake.memory.put(kArena + 64 + 24, target.chunks[0] + 16);

  EXPECT_TRUE(target.found().empty());
}

TEST(PythonBlocks, APointerIntoTheMiddleOfABlockOwnsNothing) {
  Target target({0x800});
  target.add(kArena + 64, 0x800);
  target.fake.memory.put(kArena + 64 + 24, target.chunks[0] + 256);

  EXPECT_TRUE(target.found().empty());
}

TEST(PythonBlocks, ADequeOwnsTheChainOfItsBlocks) {
  Target target({0x220, 0x220, 0x220, 0x220});
  target.add(kArena + 64, 40 + 3 * 528);
  target.fake.memory.put(kArena + 64 + 24, target.chunks[0] + 16);
  target.fake.memory.put(kArena + 64 + 32, target.chunks[2] + 16);
  target.fake.memory.put(target.chunks[0] + 16 + 520, target.chunks[1] + 16);
  target.fake.memory.put(target.chunks[1] + 16 + 520, target.chunks[2] + 16);

  EXPECT_EQ(target.found(), (std::vector<std::uint64_t>{target.chunks[0], target.chunks[1], target.chunks[2]}));
}

TEST(PythonBlocks, ADequeThatRunsInCirclesEnds) {
  Target target({0x220, 0x220});
  target.add(kArena + 64, 40 + 1000 * 528);
  target.fake.memory.put(kArena + 64 + 24, target.chunks[0] + 16);
  target.fake.memory.put(kArena + 64 + 32, 0x500010);
  target.fake.memory.put(target.chunks[0] + 16 + 520, target.chunks[0] + 16);

  EXPECT_EQ(target.found(), (std::vector<std::uint64_t>{target.chunks[0]}));
}

}  // namespace
}  // namespace memsnap
