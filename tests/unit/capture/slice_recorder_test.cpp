#include "snapshot/capture/slice_recorder.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <random>
#include <string>

#include "tests/unit/capture/fake_tables.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kHeap = 0x7f1234500000;
constexpr std::int64_t kSecond = 1'000'000'000;
constexpr auto kBegan = static_cast<std::int64_t>(FakeTables::kBegan);

// "main app.py:3;fill app.py:9", the outermost first.
std::string stack_of(const AllocationProfile& profile, RowIndex row) {
  std::string text;
  for (CallIndex call = profile.row_call[row]; call != 0; call = profile.call_parent[call]) {
    const ProfileFrame& frame = profile.frames[profile.call_frame[call]];
    std::string one(profile.strings.text(frame.function));
    one += " " + std::string(profile.strings.text(frame.file)) + ":" + std::to_string(frame.line);
    text = text.empty() ? one : one + ";" + text;
  }
  return text;
}

// One entry for each instruction pair: 3.11's "no columns" form, length 1, with the step in lines.
std::string locations(const std::vector<int>& steps) {
  std::string table;
  for (const int step : steps) {
    table += static_cast<char>(0x80 | 13 << 3);
    table += static_cast<char>(step < 0 ? -step * 2 + 1 : step * 2);
  }
  return table;
}

TEST(SliceRecorder, MergesInstructionsOfOneLineAndSharesTheTreeAmongThreads) {
  FakeTables tables;
  const std::uint32_t code = tables.code("app.py", "main", 10, locations({0, 1, 0, 5}), 0x1000);
  const std::uint32_t one = tables.thread(100);
  const std::uint32_t two = tables.thread(200);
  const std::uint32_t a = tables.site(tables.node(one, code, 0x1002));
  const std::uint32_t b = tables.site(tables.node(one, code, 0x1004));
  const std::uint32_t c = tables.site(tables.node(two, code, 0x1006), Allocator::kCalloc);
  tables.allocate(a, kHeap, 10);
  tables.allocate(b, kHeap + 16, 10);
  tables.allocate(c, kHeap + 32, 10);
  const TableReader reader = tables.reader();
  SliceRecorder recorder(reader);
  recorder.name_thread(200, "worker");
  recorder.add(reader.read(), kBegan + kSecond, 0);

  const AllocationProfile profile = recorder.finish();

  ASSERT_EQ(profile.row_count(), 2u);
  EXPECT_EQ(stack_of(profile, 0), "main app.py:11");
  EXPECT_EQ(profile.live[0], (BlockTotals{2, 20}));
  EXPECT_EQ(stack_of(profile, 1), "main app.py:16");
  EXPECT_EQ(profile.strings.text(profile.allocators[profile.row_allocator[1]].name), "calloc");
  EXPECT_EQ(profile.threads[profile.row_thread[1]].tid, 200u);
  EXPECT_EQ(profile.strings.text(profile.threads[profile.row_thread[1]].name), "worker");
  EXPECT_EQ(profile.frames.size(), 2u);
  EXPECT_TRUE(is_consistent(profile));
}

TEST(SliceRecorder, ReadsInstructionsAsTheReleaseKeepsThem) {
  struct Case {
    std::uint32_t python;
    std::string table;
    std::uint64_t instruction;
    std::uint32_t line;
  };
  const std::string lnotab("\0\1\6\4\4\2", 6);   // 0: 101, 6: 105, 10: 107
  const std::string ranges("\6\0\4\4\4\2", 6);   // 0-5: 100, 6-9: 104, 10-13: 106
  const std::uint64_t none = ~std::uint64_t{0};  // f_lasti is -1 before the first instruction
  for (const Case& one :
       {Case{0x030812f0, lnotab, 6, 105}, Case{0x030912f0, lnotab, 10, 107}, Case{0x030912f0, lnotab, none, 100},
        Case{0x030a0df0, ranges, 3, 104}, Case{0x030a0df0, ranges, 5, 106}, Case{0x030a0df0, ranges, 0xffffffff, 100},
        Case{0x030b00f0, locations({0, 1, 7}), 0x5004, 108}, Case{0x030f00f0, locations({0, 1, 7}), 0x4ffe, 100}}) {
    FakeTables tables(one.python);
    const std::uint32_t code = tables.code("a.py", "f", 100, one.table, 0x5000);
    tables.allocate(tables.site(tables.node(tables.thread(1), code, one.instruction)), kHeap, 10);
    const TableReader reader = tables.reader();
    SliceRecorder recorder(reader);
    recorder.add(reader.read(), kBegan, 0);

    const AllocationProfile profile = recorder.finish();

    ASSERT_EQ(profile.frames.size(), 1u);
    EXPECT_EQ(profile.frames[0].line, one.line) << std::hex << one.python << " " << one.instruction;
    EXPECT_EQ(profile.frames[0].first_line, 100u);
  }
}

TEST(SliceRecorder, ReadsNamesInEveryUnit) {
  FakeTables tables;
  const std::vector<std::uint8_t> latin{'c', 'a', 'f', 0xe9};
  const std::vector<std::uint8_t> two{0x2e, 0x01, 0x00, 0xd8};               // U+012E and a lone surrogate
  const std::vector<std::uint8_t> four{0x4b, 0xf4, 0x01, 0, 0, 0, 0x11, 0};  // U+1F44B and nothing there is
  const std::uint32_t a = tables.code_in_units(latin, 1, two, 2, 1, {}, 0);
  const std::uint32_t b = tables.code_in_units(four, 4, {}, 1, 1, {}, 0);
  const std::uint32_t c = tables.code("x.py", "gone", 1);
  tables.code_at(c).name_unit = 0;
  const std::uint32_t thread = tables.thread(1);
  for (const std::uint32_t code : {a, b, c})
    tables.allocate(tables.site(tables.node(thread, code, 0)), kHeap + 16 * code, 1);
  const TableReader reader = tables.reader();
  SliceRecorder recorder(reader);
  recorder.add(reader.read(), kBegan, 0);

  const AllocationProfile profile = recorder.finish();

  EXPECT_EQ(stack_of(profile, 0), "\xc4\xae\xef\xbf\xbd caf\xc3\xa9:0");
  EXPECT_EQ(stack_of(profile, 1), "? \xf0\x9f\x91\x8b\xef\xbf\xbd:0");
  EXPECT_EQ(stack_of(profile, 2), "? x.py:1");
}

TEST(SliceRecorder, NamesNativeAndCutFrames) {
  FakeTables tables;
  const std::uint32_t cut = tables.node(tables.thread(1), kNodeCut, 0);
  const std::uint32_t known = tables.node(cut, kNodeNativeFrame, 0x1111);
  tables.allocate(tables.site(tables.node(known, kNodeNativeFrame, 0x2222)), kHeap, 1);
  const TableReader reader = tables.reader();
  SliceRecorder recorder(reader, [](std::uint64_t address) {
    return address == 0x1111 ? NativeName{"deflate", "deflate.c", 7} : NativeName{};
  });
  recorder.add(reader.read(), kBegan, 0);

  const AllocationProfile profile = recorder.finish();

  EXPECT_EQ(stack_of(profile, 0), " :0;deflate deflate.c:7;0x2222 :0");
  EXPECT_EQ(profile.frames[profile.call_frame[1]].kind, ProfileFrameKind::kCut);
}

TEST(SliceRecorder, AStackThatIsHalfWrittenComesLater) {
  FakeTables tables;
  const std::uint32_t code = tables.code("a.py", "f", 1, locations({0}));
  tables.code_at(code).ready = 0;
  tables.allocate(tables.site(tables.node(tables.thread(1), code, 0x1000)), kHeap, 100);
  const TableReader reader = tables.reader();
  SliceRecorder recorder(reader);
  recorder.add(reader.read(), kBegan, 0);
  EXPECT_EQ(recorder.profile().row_count(), 0u);

  tables.code_at(code).ready = 1;
  recorder.add(reader.read(), kBegan + kSecond, 0);

  const AllocationProfile profile = recorder.profile();
  ASSERT_EQ(profile.row_count(), 1u);
  EXPECT_EQ(stack_of(profile, 0), "f a.py:1");
  EXPECT_EQ(profile.slices[1].allocated, (BlockTotals{1, 100}));
}

TEST(SliceRecorder, AtTheEndHalfWrittenStacksAreCountedToo) {
  FakeTables tables;
  const std::uint32_t code = tables.code("a.py", "f", 1);
  tables.code_at(code).ready = 0;
  tables.allocate(tables.site(tables.node(tables.thread(1), code, 0x1000)), kHeap, 100);
  tables.slot(kHeap + 64) = slot_word(999, 11);
  const TableReader reader = tables.reader();
  SliceRecorder recorder(reader);
  recorder.add(reader.read(), kBegan, 0);

  const AllocationProfile profile = recorder.finish();

  EXPECT_EQ(sum_of(profile.live), (BlockTotals{2, 111}));
  EXPECT_EQ(profile.losses.unknown_site, 1u);
}

TEST(SliceRecorder, RemembersThePeakByRow) {
  FakeTables tables;
  const std::uint32_t code = tables.code("a.py", "f", 1, locations({0, 1}));
  const std::uint32_t thread = tables.thread(1);
  const std::uint32_t a = tables.site(tables.node(thread, code, 0x1000));
  const std::uint32_t b = tables.site(tables.node(thread, code, 0x1002));
  const TableReader reader = tables.reader();
  SliceRecorder recorder(reader, {}, {.most_slices = 2});
  tables.allocate(a, kHeap, 1000);
  recorder.add(reader.read(), kBegan + kSecond, 5);
  tables.allocate(b, kHeap + 4096, 500);
  recorder.add(reader.read(), kBegan + 2 * kSecond, 7);
  tables.free(kHeap);
  for (int i = 3; i < 9; ++i) recorder.add(reader.read(), kBegan + i * kSecond, 6);

  const AllocationProfile profile = recorder.finish();

  EXPECT_EQ(profile.peak_ns, kBegan + 2 * kSecond);
  EXPECT_EQ(profile.peak_rss, 7u);
  EXPECT_EQ(profile.peak[0], (BlockTotals{1, 1000}));
  EXPECT_EQ(profile.peak[1], (BlockTotals{1, 500}));
  EXPECT_EQ(sum_of(profile.live), (BlockTotals{1, 500}));
  EXPECT_LE(profile.slices.size(), 2u);
  EXPECT_EQ(profile.slices[0].peak_live, 1500u);
}

TEST(SliceRecorder, MergedSlicesStillAddUp) {
  FakeTables tables;
  const std::uint32_t code = tables.code("a.py", "f", 1, locations(std::vector<int>(50, 1)));
  const std::uint32_t thread = tables.thread(1);
  std::vector<std::uint32_t> sites;
  for (std::uint64_t i = 0; i < 50; ++i) sites.push_back(tables.site(tables.node(thread, code, 0x1000 + 2 * i)));
  const TableReader reader = tables.reader();
  SliceRecorder recorder(reader, {}, {.most_slices = 16});
  std::mt19937 random(3);
  std::map<std::uint64_t, int> live;
  for (int step = 1; step <= 200; ++step) {
    for (int i = 0; i < 30; ++i) {
      const std::uint64_t address = kHeap + 4096 * (random() % 500);
      if (live.erase(address) != 0) {
        tables.free(address);
      } else {
        tables.allocate(sites[random() % sites.size()], address, 1 + random() % 1000);
        live[address] = 1;
      }
    }
    recorder.add(reader.read(), kBegan + step * kSecond, 1000u * static_cast<std::uint64_t>(step));
  }

  const AllocationProfile profile = recorder.finish();

  ASSERT_TRUE(is_consistent(profile));
  EXPECT_LE(profile.slices.size(), 16u);
  EXPECT_GE(profile.slices.size(), 8u);
  std::vector<BlockTotals> allocated(profile.row_count());
  std::vector<BlockTotals> alive(profile.row_count());
  BlockTotals in_slices;
  for (const ProfileSlice& slice : profile.slices) {
    for (const SliceChange& change : profile.changes_of(slice)) {
      allocated[change.row].count += change.count;
      allocated[change.row].bytes += change.bytes;
      alive[change.row].count += static_cast<std::uint64_t>(change.live_count);
      alive[change.row].bytes += static_cast<std::uint64_t>(change.live_bytes);
    }
    in_slices.bytes += slice.allocated.bytes;
    EXPECT_EQ(sum_of(alive), slice.live);
  }
  EXPECT_EQ(allocated, profile.allocated);
  EXPECT_EQ(alive, profile.live);
  EXPECT_EQ(in_slices.bytes, sum_of(profile.allocated).bytes);
  EXPECT_EQ(profile.slices.back().end_ns, kBegan + 200 * kSecond);
  EXPECT_EQ(profile.slices.back().rss, 200'000u);
}

TEST(SliceRecorder, ManyChangesMergeSlicesToo) {
  FakeTables tables;
  const std::uint32_t thread = tables.thread(1);
  std::vector<std::uint32_t> sites;
  const std::uint32_t code = tables.code("a.py", "f", 1, locations(std::vector<int>(100, 1)));
  for (std::uint64_t i = 0; i < 100; ++i) sites.push_back(tables.site(tables.node(thread, code, 0x1000 + 2 * i)));
  const TableReader reader = tables.reader();
  SliceRecorder recorder(reader, {}, {.most_slices = 1000, .most_changes = 1000, .least_slices = 4});
  for (int step = 1; step <= 300; ++step) {
    for (const std::uint32_t site : sites) tables.count(site, 10);
    recorder.add(reader.read(), kBegan + step * kSecond, 0);
  }

  const AllocationProfile profile = recorder.finish();

  EXPECT_LE(profile.changes.size(), 1100u);
  EXPECT_GE(profile.slices.size(), 4u);
  EXPECT_EQ(sum_of(profile.allocated), (BlockTotals{30'000, 300'000}));
}

TEST(SliceRecorder, AddsUpWhatThreadsSay) {
  FakeTables tables;
  tables.thread(7);
  AgentThread& shared = tables.thread_record(0);
  AgentThread& own = tables.thread_record(1);
  shared.allocations = 3;
  own.allocations = 10;
  own.frees = 4;
  own.bytes = 1000;
  own.by_size[5] = 9;
  shared.by_size[5] = 1;
  own.by_allocator[static_cast<int>(Allocator::kPymallocRealloc)] = 10;
  own.bytes_by_allocator[static_cast<int>(Allocator::kPymallocRealloc)] = 1000;
  const TableReader reader = tables.reader();
  SliceRecorder recorder(reader);
  recorder.add(reader.read(), kBegan, 0);
  recorder.add(reader.read(), kBegan, 0);

  const AllocationProfile profile = recorder.finish();

  EXPECT_EQ(passed_in_all(profile), (BlockTotals{13, 1000}));
  EXPECT_EQ(profile.frees, 4u);
  EXPECT_EQ(profile.sizes[5], 10u);
  const ProfileAllocator& last = profile.allocators[static_cast<std::size_t>(Allocator::kPymallocRealloc)];
  EXPECT_EQ(profile.strings.text(last.name), "pymalloc_realloc");
  EXPECT_EQ(last.allocations, 10u);
}

}  // namespace
}  // namespace memsnap
