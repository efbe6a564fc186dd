#include "snapshot/memory/pymalloc.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/cpython/fake_memory.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kData = 0x600000;
constexpr std::uint64_t kTable = 0x10000000;
constexpr std::uint64_t kArena = 0x20000000;
constexpr std::uint32_t kPool = 16384;

class Pymalloc : public testing::Test {
 protected:
  Pymalloc() {
    memory_.map(kData, 4096);
    memory_.map(kTable, 16384);
    memory_.map(kArena, 2u << 20);
    memory_.put(kData + 64, kTable);
  }

  void put_arena(std::size_t index, std::uint64_t address, std::uint64_t pools) {
    const std::uint64_t at = kTable + 48 * index;
    memory_.put(at, address);
    memory_.put(at + 8, address + pools * kPool);
    memory_.put<std::uint32_t>(at + 16, static_cast<std::uint32_t>(64 - pools));
    memory_.put<std::uint32_t>(at + 20, 64);
  }
  void put_pool(std::uint64_t pool, std::uint32_t block, std::uint32_t used) {
    memory_.put<std::uint64_t>(pool, used);
    memory_.put<std::uint32_t>(pool + 36, block / 16 - 1);
    memory_.put<std::uint32_t>(pool + 40, 48 + 2 * block);
    memory_.put<std::uint32_t>(pool + 44, kPool - block);
  }
  std::vector<PymallocArena> found() const {
    const MemoryMap map = MemoryMap::parse(
        "10000000-10004000 rw-p 00000000 00:00 0                          [heap]\n"
        "20000000-20200000 rw-p 00000000 00:00 0 \n");
    return find_pymalloc_arenas(memory_, memory_, map, {{kData, kData + 4096}});
  }

  FakeMemory memory_;
};

TEST_F(Pymalloc, ArenasAreFoundThroughAVariableThatPointsToTheirTable) {
  put_arena(1, kArena + 0x100000, 2);
  put_arena(0, kArena, 1);
  put_pool(kArena, 32, 5);
  put_pool(kArena + 0x100000, 512, 1);

  const auto arenas = found();

  ASSERT_EQ(arenas.size(), 2u);
  EXPECT_EQ(arenas[0].address, kArena);
  EXPECT_EQ(arenas[1].unused, kArena + 0x100000 + 2 * kPool);
  EXPECT_EQ(arenas[1].pool_size, kPool);
}

TEST_F(Pymalloc, BlocksInUseAreCountedPoolByPool) {
  put_arena(0, kArena, 3);
  put_pool(kArena, 32, 5);
  put_pool(kArena + kPool, 512, 31);
  put_pool(kArena + 2 * kPool, 64, 0);
  const auto arenas = found();
  ASSERT_EQ(arenas.size(), 1u);
  const ResidentPages resident({{kArena, kArena + 4 * kPool}});

  const PymallocUse use = measure_arena(memory_, arenas[0], resident);

  EXPECT_EQ(use.resident, 4u * kPool);
  EXPECT_EQ(use.used, 5u * 32 + 31 * 512);
  EXPECT_EQ(use.unused_pools, 2u * kPool);
  EXPECT_EQ(use.damaged, 0u);
}

TEST_F(Pymalloc, APoolThatIsNoneCountsAsInUseAndIsReported) {
  put_arena(0, kArena, 2);
  put_pool(kArena, 32, 5);
  put_pool(kArena + kPool, 32, 5000);
  const auto arenas = found();
  ASSERT_EQ(arenas.size(), 1u);

  const PymallocUse use = measure_arena(memory_, arenas[0], ResidentPages({{kArena, kArena + (1u << 20)}}));

  EXPECT_EQ(use.damaged, 1u);
  EXPECT_EQ(use.used, 5u * 32 + kPool);
}

TEST_F(Pymalloc, ATableWithAnEntryThatIsNoneIsNotBelieved) {
  put_arena(0, kArena, 1);
  put_pool(kArena, 32, 5);
  put_arena(3, 0x50000000, 1);

  EXPECT_TRUE(found().empty());
}

TEST_F(Pymalloc, PoolsTellFormsApartThatTheTableDoesNot) {
  put_arena(0, kArena, 1);  // 64 pools: 256 KiB of 4 KiB pools would have as many
  put_pool(kArena, 32, 5);
  const auto arenas = found();

  ASSERT_EQ(arenas.size(), 1u);
  EXPECT_EQ(arenas[0].arena_size, 1u << 20);
}

// Each table is the one before from its second entry on, and all of their arenas are the same.
TEST_F(Pymalloc, TablesThatOverlapWithoutEndAreNotAllRead) {
  constexpr std::uint64_t kEntries = 1u << 17;
  constexpr std::uint64_t kTables = 1u << 12;
  const std::uint64_t table = kArena + (4u << 20);
  memory_.map(table, kEntries * 48);
  memory_.map(0x700000, kTables * 8);
  for (std::uint64_t i = 0; i < kEntries; ++i) {
    memory_.put(table + 48 * i, kArena);
    memory_.put(table + 48 * i + 8, kArena + kPool);
    memory_.put<std::uint32_t>(table + 48 * i + 16, 63);
    memory_.put<std::uint32_t>(table + 48 * i + 20, 64);
  }
  for (std::uint64_t i = 0; i < kTables; ++i) memory_.put(0x700000 + 8 * i, table + 48 * i);
  put_pool(kArena, 32, 5);
  const MemoryMap map = MemoryMap::parse("20000000-21000000 rw-p 00000000 00:00 0 \n");

  const auto arenas = find_pymalloc_arenas(memory_, memory_, map, {{0x700000, 0x700000 + 8 * kTables}});

  EXPECT_EQ(arenas.size(), 1u);
}

}  // namespace
}  // namespace memsnap
