#include "snapshot/capture/table_reader.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <random>
#include <thread>

#include "attach/base/error.h"
#include "snapshot/capture/slice_recorder.h"
#include "tests/unit/capture/fake_tables.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kHeap = 0x7f1234500000;

TEST(TableReader, CountsLiveBlocksBySite) {
  FakeTables tables;
  const std::uint32_t thread = tables.thread(4242);
  const std::uint32_t malloc = tables.site(thread);
  const std::uint32_t calloc = tables.site(thread, Allocator::kCalloc);
  for (std::uint64_t i = 0; i < 1000; ++i) tables.allocate(malloc, kHeap + 4096 * i, 48);
  tables.allocate(calloc, 0x10, 7);
  tables.allocate(calloc, 0x7ffffffffff0, 0);
  tables.allocate(calloc, 0x561111111110, kSlotSizeMask);
  tables.free(kHeap);

  const TableReading reading = tables.reader().read();

  EXPECT_EQ(reading.blocks, 1002u);
  EXPECT_EQ(reading.live.at(malloc).count, 999u * 256);
  EXPECT_EQ(reading.live.at(malloc).bytes, 999u * 48);
  EXPECT_EQ(reading.live.at(calloc).count, 3u * 256);
  EXPECT_EQ(reading.live.at(calloc).bytes, 7 + kSlotSizeMask);
  EXPECT_EQ(reading.all.bytes, 999u * 48 + 7 + kSlotSizeMask);
  EXPECT_EQ(reading.totals.at(malloc).samples, 1000u);
  EXPECT_EQ(reading.threads.at(1).tid, 4242u);
  EXPECT_EQ(reading.unknown_site, 0u);
  EXPECT_EQ(reading.variance, 0);
}

TEST(TableReader, LeavesHolesUntouched) {
  FakeTables tables({}, 1, {.nodes = 1u << 20, .leaves = 1u << 15});
  const std::uint32_t site = tables.site(tables.thread(1));
  tables.allocate(site, kHeap, 100);
  struct stat before {};
  ::fstat(tables.fd(), &before);

  const TableReading reading = tables.reader().read();
  tables.reader().nodes();
  tables.reader().roots();

  struct stat after {};
  ::fstat(tables.fd(), &after);
  EXPECT_EQ(reading.blocks, 1u);
  EXPECT_EQ(before.st_blocks, after.st_blocks);
  EXPECT_GT(tables.size(), std::uint64_t{16} << 30);
}

TEST(TableReader, ScalesSampledBlocks) {
  constexpr std::uint64_t kPeriod = 512u << 10;
  FakeTables tables(0x030d00f0, kPeriod);
  const std::uint32_t site = tables.site(tables.thread(1));
  std::mt19937_64 random(5);
  std::uint64_t true_bytes = 0;
  std::uint64_t true_count = 0;
  std::uint64_t address = kHeap;
  for (int i = 0; i < 2'000'000; ++i) {
    const std::uint64_t size = 16 + random() % 4096;
    true_bytes += size;
    ++true_count;
    const double chance = -std::expm1(-static_cast<double>(size) / kPeriod);
    if (std::uniform_real_distribution<>()(random) < chance) tables.allocate(site, address, size);
    address += 16 + size / 16 * 16;
  }

  const TableReading reading = tables.reader().read();

  const double error = 1.96 * std::sqrt(reading.variance);
  const double missed = static_cast<double>(reading.all.bytes) - static_cast<double>(true_bytes);
  EXPECT_LT(std::abs(missed), 2 * error);
  EXPECT_LT(error, 0.05 * static_cast<double>(true_bytes));
  EXPECT_NEAR(static_cast<double>(reading.all.count) / 256, static_cast<double>(true_count), 0.1 * double(true_count));
  EXPECT_EQ(sampled_count(std::uint64_t{1} << 40, kPeriod), 256u);
}

TEST(TableReader, BlocksOfUnknownSitesAreCountedApart) {
  FakeTables tables;
  const std::uint32_t site = tables.site(tables.thread(1));
  tables.allocate(site, kHeap, 100);
  tables.slot(kHeap + 64) = slot_word(site + 77, 50);

  const TableReading reading = tables.reader().read();

  EXPECT_EQ(reading.unknown_site, 1u);
  EXPECT_EQ(reading.unknown.bytes, 50u);
  EXPECT_EQ(reading.all.bytes, 150u);
}

TEST(TableReader, NeverSeesHalfAWord) {
  FakeTables tables;
  const std::uint32_t first = tables.site(tables.thread(1));
  std::uint32_t last = first;
  for (int i = 0; i < 60'000; ++i) last = tables.site(1);
  // All halves differ, so that a mixture is neither.
  const std::uint64_t words[] = {slot_word(first, 0x1111111111), slot_word(last, 0x2222222222)};
  std::uint64_t* const slots = &tables.slot(kHeap);
  std::fill_n(slots, kLeafWords, words[0]);
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    while (!stop) {
      for (const std::uint64_t word : words) {
        for (std::size_t i = 0; i < kLeafWords; ++i) std::atomic_ref(slots[i]).store(word, std::memory_order_relaxed);
      }
    }
  });
  const TableReader reader = tables.reader();
  for (int i = 0; i < 200; ++i) {
    const TableReading reading = reader.read();
    EXPECT_EQ(reading.live[first].bytes, reading.live[first].count / 256 * 0x1111111111);
    EXPECT_EQ(reading.live[last].bytes, reading.live[last].count / 256 * 0x2222222222);
    EXPECT_EQ(reading.live[first].count + reading.live[last].count, reading.all.count);
  }
  stop = true;
  writer.join();
}

bool refused(const FakeTables& tables) {
  try {
    tables.reader();
    return false;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadFile);
    EXPECT_FALSE(error.hint().empty());
    return true;
  }
}

TEST(TableReader, RefusesWhatIsNoTable) {
  const auto with = [](const std::function<void(AgentHeader&)>& change) {
    FakeTables tables;
    change(tables.header());
    return refused(tables);
  };
  EXPECT_FALSE(with([](AgentHeader&) {}));
  EXPECT_TRUE(with([](AgentHeader& header) { header.magic ^= 1; }));
  EXPECT_TRUE(with([](AgentHeader& header) { header.abi = 99; }));
  EXPECT_TRUE(with([](AgentHeader& header) { header.size += 4096; }));
  EXPECT_TRUE(with([](AgentHeader& header) { header.sections.nodes.offset = ~0ull - 7; }));
  EXPECT_TRUE(with([](AgentHeader& header) { header.sections.nodes.offset += 3; }));
  EXPECT_TRUE(with([](AgentHeader& header) { header.sections.nodes.capacity = ~0ull / 16; }));
  EXPECT_TRUE(with([](AgentHeader& header) { header.sections.leaves.capacity = 1ull << 45; }));
  EXPECT_TRUE(with([](AgentHeader& header) { header.sections.texts.capacity = ~0ull; }));
  EXPECT_TRUE(with([](AgentHeader& header) { header.period = ~0ull; }));
  EXPECT_THROW(TableReader{FileDescriptor{}}, Error);
}

TEST(TableReader, AMemoryThatGrowsShorterIsNoSignal) {
  FakeTables tables;
  const std::uint32_t site = tables.site(tables.thread(1));
  tables.allocate(site, kHeap, 100);
  const TableReader reader = tables.reader();
  ASSERT_EQ(::ftruncate(tables.fd(), 4096), 0);

  const TableReading reading = reader.read();

  EXPECT_EQ(reading.blocks, 0u);
  EXPECT_TRUE(reader.nodes().empty() || reader.nodes().back().parent == 0);
  ASSERT_EQ(::ftruncate(tables.fd(), static_cast<off_t>(tables.size())), 0);
}

// Whatever stands in the tables: a profile that is consistent, in bounded time.
TEST(TableReader, AnyTableGivesAProfile) {
  std::mt19937_64 random(23);
  for (int round = 0; round < 300; ++round) {
    FakeTables tables(static_cast<std::uint32_t>(0x03080000 + random() % 8 * 0x10000), round % 3 == 0 ? 4096 : 1,
                      {.threads = 8, .nodes = 2000, .codes = 64, .texts = 8192, .leaves = 4});
    const AgentHeader::Sections& sections = tables.header().sections;
    const auto scribble = [&](const AgentSection& section, std::uint64_t bytes, unsigned most_bits) {
      for (std::uint64_t i = 0; i + 8 <= bytes; i += 8) {
        if (random() % 4 == 0) continue;
        const std::uint64_t value = random() >> (random() % most_bits);
        std::memcpy(tables.base() + section.offset + i, &value, 8);
      }
    };
    scribble(sections.threads, 8 * sizeof(AgentThread), 64);
    scribble(sections.codes, 64 * sizeof(AgentCode), 64);
    scribble(sections.texts, 8192, 8);
    scribble(sections.counts, 2000 * sizeof(AgentCounts), 64);
    scribble({sections.leaves.offset + 8 * kLeafWords, 0}, 40'000, 40);
    for (std::uint32_t i = 0; i < 2000; ++i) {
      const std::uint32_t codes[] = {kNodeThread, kNodeAllocator, kNodeNativeFrame,
                                     kNodeCut,    kNodeSpecial,   static_cast<std::uint32_t>(random() % 80)};
      tables.node_at(i) = {static_cast<std::uint32_t>(random() % (random() % 2 == 0 ? 2100 : i + 1)),
                           codes[random() % 6], random() >> (random() % 64)};
    }
    tables.header().node_count = static_cast<std::uint32_t>(random());
    tables.header().code_count = static_cast<std::uint32_t>(random());
    tables.header().thread_count = static_cast<std::uint32_t>(random());
    const TableReader reader = tables.reader();
    SliceRecorder recorder(reader, {}, {.most_slices = 3, .most_changes = 100, .least_slices = 1});
    for (int i = 0; i < 4; ++i) {
      recorder.add(reader.read(), static_cast<std::int64_t>(FakeTables::kBegan) + i * 1000, random());
      ASSERT_TRUE(is_consistent(recorder.profile())) << round;
      scribble(sections.counts, 2000 * sizeof(AgentCounts), 64);
    }
    ASSERT_TRUE(is_consistent(recorder.finish())) << round;
  }
}

}  // namespace
}  // namespace memsnap
