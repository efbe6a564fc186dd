#include "snapshot/memory/malloc_heap.h"

#include <gtest/gtest.h>

#include <vector>

#include "tests/unit/memory/fake_malloc.h"

namespace memsnap {
namespace {

using State = MallocChunk::State;

MallocHeaps heaps_of(const FakeMalloc& fake) {
  return find_malloc_heaps(fake.memory, fake.memory, FakeMalloc::map(), FakeMalloc::data(), nullptr, {});
}

std::vector<MallocChunk> chunks_of(const MallocHeaps& heaps) {
  std::vector<MallocChunk> chunks;
  heaps.for_each_chunk([&](const MallocChunk& chunk) { chunks.push_back(chunk); });
  return chunks;
}

std::vector<State> states_of(const MallocHeaps& heaps) {
  std::vector<State> states;
  for (const MallocChunk& chunk : chunks_of(heaps)) states.push_back(chunk.state);
  return states;
}

TEST(MallocHeap, ChunksAreInUseAsTheNextOneSays) {
  FakeMalloc fake;
  const auto made = fake.fill({0x40, 0x1000, 0x30});
  fake.free_before(made[2]);

  const MallocHeaps heaps = heaps_of(fake);

  EXPECT_EQ(heaps.arenas(), 1u);
  EXPECT_EQ(heaps.damaged(), 0u);
  EXPECT_EQ(states_of(heaps), (std::vector<State>{State::kInUse, State::kFree, State::kInUse, State::kFree}));
  const auto chunks = chunks_of(heaps);
  EXPECT_EQ(chunks[1].address, made[1]);
  EXPECT_EQ(chunks[1].size, 0x1000u);
  EXPECT_EQ(chunks.back().end(), FakeMalloc::kHeap + FakeMalloc::kHeapSize);
}

TEST(MallocHeap, AnAddressIsFoundInItsChunk) {
  FakeMalloc fake;
  const auto made = fake.fill({0x40, 0x20000, 0x30});

  const MallocHeaps heaps = heaps_of(fake);

  const auto found = heaps.find(made[1] + 0x1fff8);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->address, made[1]);
  EXPECT_EQ(found->size, 0x20000u);
  EXPECT_EQ(heaps.find(made[0])->size, 0x40u);
  EXPECT_FALSE(heaps.find(FakeMalloc::kHeap - 1));
  EXPECT_FALSE(heaps.find(FakeMalloc::kHeap + FakeMalloc::kHeapSize));
}

TEST(MallocHeap, FastBinsAreFreeBothWithHiddenLinksAndWithPlainOnes) {
  for (const bool hidden : {true, false}) {
    FakeMalloc fake;
    const auto made = fake.fill({0x40, 0x40, 0x40, 0x50});
    fake.memory.put(FakeMalloc::kBins - 96 + 16, made[0]);  // the bin of 0x40
    const std::uint64_t link_at = made[0] + 16;
    fake.memory.put(link_at, hidden ? made[2] ^ link_at >> 12 : made[2]);
    fake.memory.put(made[2] + 16, hidden ? (made[2] + 16) >> 12 : 0);

    EXPECT_EQ(states_of(heaps_of(fake)),
              (std::vector<State>{State::kFree, State::kInUse, State::kFree, State::kInUse, State::kFree}));
  }
}

TEST(MallocHeap, AListThatRunsInCirclesEnds) {
  FakeMalloc fake;
  const auto made = fake.fill({0x40, 0x40, 0x50});
  fake.memory.put(FakeMalloc::kBins - 96 + 16, made[0]);
  fake.memory.put(made[0] + 16, made[1]);
  fake.memory.put(made[1] + 16, made[0]);

  EXPECT_EQ(states_of(heaps_of(fake)), (std::vector<State>{State::kFree, State::kFree, State::kInUse, State::kFree}));
}

TEST(MallocHeap, AFastBinOfAnotherSizeIsNotBelieved) {
  FakeMalloc fake;
  const auto made = fake.fill({0x40, 0x50});
  fake.memory.put(FakeMalloc::kBins - 96 + 16, made[1]);

  EXPECT_EQ(states_of(heaps_of(fake)), (std::vector<State>{State::kInUse, State::kInUse, State::kFree}));
}

// tcache_perthread_struct of 2.30 to 2.41: 64 counts of 16 bits, 64 pointers to what malloc gave out.
void put_cache(FakeMalloc& fake, std::uint64_t cache, std::uint16_t count, std::uint64_t first, std::uint64_t second) {
  const std::uint64_t list = 2;  // of 0x40
  fake.memory.put<std::uint16_t>(cache + 16 + 2 * list, count);
  fake.memory.put(cache + 16 + 128 + 8 * list, first + 16);
  fake.memory.put(first + 16, (second + 16) ^ (first + 16) >> 12);
  fake.memory.put(second + 16, (second + 16) >> 12);
}

TEST(MallocHeap, ChunksInAThreadsCacheAreFree) {
  FakeMalloc fake;
  const auto made = fake.fill({0x290, 0x40, 0x40, 0x40, 0x50});
  put_cache(fake, made[0], 2, made[1], made[3]);

  EXPECT_EQ(states_of(heaps_of(fake)), (std::vector<State>{State::kInUse, State::kFree, State::kInUse, State::kFree,
                                                           State::kInUse, State::kFree}));
}

TEST(MallocHeap, ABlockThatOnlyLooksLikeACacheChangesNothing) {
  FakeMalloc fake;
  const auto made = fake.fill({0x290, 0x40, 0x40, 0x40, 0x50});
  put_cache(fake, made[0], 3, made[1], made[3]);  // three are promised, the list has two

  const auto states = states_of(heaps_of(fake));

  EXPECT_EQ(std::count(states.begin(), states.end(), State::kFree), 1);
}

TEST(MallocHeap, FromRelease242OnACacheCountsWhatIsLeft) {
  FakeMalloc fake;
  const auto made = fake.fill({0x300, 0x40, 0x40, 0x50});
  for (std::uint64_t i = 0; i < 76; ++i) fake.memory.put<std::uint16_t>(made[0] + 16 + 2 * i, 16);
  fake.memory.put<std::uint16_t>(made[0] + 16 + 2 * 2, 15);
  fake.memory.put(made[0] + 16 + 152 + 8 * 2, made[1] + 16);
  fake.memory.put(made[1] + 16, (made[1] + 16) >> 12);

  EXPECT_EQ(states_of(heaps_of(fake)),
            (std::vector<State>{State::kInUse, State::kFree, State::kInUse, State::kInUse, State::kFree}));
}

TEST(MallocHeap, ASizeThatIsNoneIsCountedAndPassedOver) {
  for (const std::uint64_t size :
       {0ull, 1ull, 8ull, 0x7ffffffffffffff1ull, 0x8000000000000001ull, ~0ull, 0x200001ull}) {
    FakeMalloc fake;
    const auto made = fake.fill({0x40, 0x40, 0x40});
    fake.set_size(made[1], size);

    const MallocHeaps heaps = heaps_of(fake);

    EXPECT_EQ(heaps.damaged(), 1u) << size;
    const auto chunks = chunks_of(heaps);
    ASSERT_EQ(chunks.size(), 3u) << size;
    EXPECT_EQ(chunks[0].address, made[0]);
    EXPECT_EQ(chunks[1].address, made[2]);
  }
}

TEST(MallocHeap, MemoryThatCannotBeReadEndsTheWalk) {
  FakeMalloc fake;
  const auto made = fake.fill({0x40, 0x40});
  FakeMemory torn;  // only the first page of the heap is there
  torn.map(FakeMalloc::kHeap, 4096);
  torn.map(FakeMalloc::kData, FakeMalloc::kDataSize);
  for (std::uint64_t at = 0; at < 4096; at += 8) {
    torn.put(FakeMalloc::kHeap + at, fake.memory.read<std::uint64_t>(FakeMalloc::kHeap + at));
  }
  for (std::uint64_t at = 0; at < FakeMalloc::kDataSize; at += 8) {
    torn.put(FakeMalloc::kData + at, fake.memory.read<std::uint64_t>(FakeMalloc::kData + at));
  }
  torn.put<std::uint64_t>(made[1] + 8, 0x2001);  // the next header is beyond

  const MallocHeaps heaps = find_malloc_heaps(torn, torn, FakeMalloc::map(), FakeMalloc::data(), nullptr, {});

  EXPECT_LE(chunks_of(heaps).size(), 2u);
}

TEST(MallocHeap, BinsThatAreNoRingsAreNoArena) {
  FakeMalloc fake;
  fake.fill({0x40});
  for (std::uint64_t bin = 3; bin < 9; ++bin) fake.memory.put<std::uint64_t>(FakeMalloc::kBins + 16 * bin, 0x1234);

  EXPECT_EQ(heaps_of(fake).arenas(), 0u);
}

TEST(MallocHeap, ATopOutsideTheHeapIsNoArena) {
  FakeMalloc fake;
  fake.fill({0x40});
  fake.memory.put<std::uint64_t>(FakeMalloc::kBins - 16, 0x50000000);

  EXPECT_EQ(heaps_of(fake).arenas(), 0u);
}

TEST(MallocHeap, ChunksWithMappingsOfTheirOwn) {
  FakeMalloc fake;
  fake.fill({0x40});
  fake.memory.map(0x20000000, 0x10000);
  fake.memory.put<std::uint64_t>(0x20001008, 0x4002);  // to 2.42
  fake.memory.put<std::uint64_t>(0x20005008, 0x1ff2);  // from 2.43 on
  fake.memory.put<std::uint64_t>(0x20008030, 0x30);    // aligned for its caller
  fake.memory.put<std::uint64_t>(0x20008038, (0x2000 - 0x30) | 2);
  fake.memory.put<std::uint64_t>(0x2000c008, 0x7ffffffffffff002);  // beyond the mapping
  fake.memory.put<std::uint64_t>(0x2000d008, 0x1003);              // no mark that is used so

  std::vector<MallocChunk> mmapped;
  for (const MallocChunk& chunk : chunks_of(heaps_of(fake))) {
    if (chunk.address >= 0x20000000) mmapped.push_back(chunk);
  }

  ASSERT_EQ(mmapped.size(), 3u);
  EXPECT_EQ(mmapped[0].end(), 0x20005000u);
  EXPECT_EQ(mmapped[1].end(), 0x20007000u);
  EXPECT_EQ(mmapped[2].address, 0x20008030u);
  EXPECT_EQ(mmapped[2].end(), 0x2000a000u);
  EXPECT_TRUE(mmapped[0].in_use());
}

// Another arena's first heap, as glibc 2.36 lays it out, and a second one that a mark ends.
TEST(MallocHeap, HeapsOfOtherArenas) {
  constexpr std::uint64_t kFirst = 0x7e0000000000;
  constexpr std::uint64_t kSecond = kFirst + 0x4000000;
  FakeMalloc fake;
  fake.fill({0x40});
  fake.memory.map(kFirst, 0x4000);
  fake.memory.map(kSecond, 0x4000);
  const std::uint64_t arena = kSecond + 48;
  const std::uint64_t bins = arena + 112;
  for (std::uint64_t i = 0; i < 127; ++i) {
    fake.memory.put(bins + 16 * i, bins + 16 * i - 16);
    fake.memory.put(bins + 16 * i + 8, bins + 16 * i - 16);
  }
  fake.memory.put(FakeMalloc::kBins + 2048, arena);
  fake.memory.put(bins + 2048, FakeMalloc::kArena);
  fake.memory.put<std::uint64_t>(bins + 2072, 0x8000);
  fake.memory.put<std::uint64_t>(bins + 2080, 0x8000);
  fake.memory.put(kFirst, arena);
  fake.memory.put<std::uint64_t>(kFirst + 16, 0x4000);
  fake.memory.put(kSecond, arena);
  fake.memory.put<std::uint64_t>(kSecond + 16, 0x4000);
  const std::uint64_t chunk = kSecond + 2256;
  fake.set_size(chunk, 0x100 | 5);
  fake.set_size(chunk + 0x100, (kSecond + 0x4000 - chunk - 0x100) | 1);
  fake.memory.put(bins - 16, chunk + 0x100);  // top
  fake.set_size(kFirst + 48, 0x200 | 5);
  fake.set_size(kFirst + 48 + 0x200, 0x10 | 1);

  const MemoryMap map = MemoryMap::parse(
      "10000000-10100000 rw-p 00000000 00:00 0                          [heap]\n"
      "7e0000000000-7e0000004000 rw-p 00000000 00:00 0 \n"
      "7e0004000000-7e0004004000 rw-p 00000000 00:00 0 \n"
      "7f0000000000-7f0000004000 rw-p 00000000 fe:00 77                 /usr/lib/libc.so.6\n");
  const MallocHeaps heaps = find_malloc_heaps(fake.memory, fake.memory, map, FakeMalloc::data(), nullptr, {});

  EXPECT_EQ(heaps.arenas(), 2u);
  EXPECT_EQ(heaps.damaged(), 0u);
  ASSERT_EQ(heaps.segments().size(), 3u);
  EXPECT_EQ(heaps.find(kFirst + 48)->size, 0x200u);
  EXPECT_TRUE(heaps.find(chunk)->in_use());
  EXPECT_FALSE(heaps.find(chunk + 0x100)->in_use());
  EXPECT_EQ(heaps.segments()[2].head, kSecond);
}

TEST(MallocHeap, KnownMemoryIsNotLookedThrough) {
  FakeMalloc fake;
  fake.fill({0x40});
  fake.memory.map(0x20000000, 0x10000);
  fake.memory.put<std::uint64_t>(0x20001008, 0x1002);
  fake.memory.put<std::uint64_t>(0x20008008, 0x1002);
  const KnownRanges known{{0x20000000, 0x20004000}};

  const MallocHeaps heaps =
      find_malloc_heaps(fake.memory, fake.memory, FakeMalloc::map(), FakeMalloc::data(), nullptr, known);

  EXPECT_FALSE(heaps.find(0x20001010));
  EXPECT_TRUE(heaps.find(0x20008010));
}

}  // namespace
}  // namespace memsnap
