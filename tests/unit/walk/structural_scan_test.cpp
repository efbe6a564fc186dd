#include "snapshot/walk/structural_scan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "inject/walker/size_sum.h"
#include "tests/unit/cpython/fake_heap.h"
#include "tests/unit/walk/hostile_memory.h"

namespace memsnap {
namespace {

constexpr std::array kForgedSizes = {std::uint64_t{0},       std::uint64_t{1} << 31,     (std::uint64_t{1} << 31) - 1,
                                     std::uint64_t{1} << 40, std::uint64_t{1} << 62,     (std::uint64_t{1} << 63) - 1,
                                     std::uint64_t{1} << 63, ~std::uint64_t{0} - 0xffff, ~std::uint64_t{0}};

class StructuralScanTest : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  bool scan(std::uint64_t object) {
    stream.clear();
    targets.clear();
    return scanner.scan(object, 0, stream, targets);
  }
  std::uint64_t edges_of_kind(EdgeKind kind) const {
    return static_cast<std::uint64_t>(std::count_if(stream.begin() + 3, stream.end(), [&](std::uint64_t word) {
      return (word & ~kEdgeNamed) >> kEdgeKindShift == static_cast<std::uint64_t>(kind);
    }));
  }
  // A code object that says its frames have so many slots.
  std::uint64_t make_code(std::int32_t slots) {
    const auto at = heap.make_object(code_type, heap.layout.code.size);
    heap.put(at + heap.layout.code.co_nlocalsplus, slots);
    heap.put(at + heap.layout.code.co_framesize, slots);
    return at;
  }
  void put_frame(std::uint64_t at, std::uint64_t code, std::uint64_t previous) {
    heap.put(at + heap.layout.frame.executable, code);
    heap.put(at + heap.layout.frame.previous, previous);
  }
  std::uint64_t make_frame_object(std::uint64_t frame) {
    const auto type = heap.make_static_type("frame", heap.object, kFlagHaveGc, 48);
    const auto at = heap.make_object(type, 128 + heap.layout.frame_object.size);
    heap.put(at + heap.layout.frame_object.f_frame, frame);
    return at;
  }

  FakeHeap heap{GetParam()};
  HostileMemory memory{heap};
  StringTable strings;
  TypeTable types{memory, heap.layout, strings};
  std::uint64_t code_type = heap.make_static_type("code", heap.object, 0, heap.layout.code.size);
  StructuralScan scanner{memory, heap.layout, types, strings, code_type, {}};
  std::vector<std::uint64_t> stream;
  std::vector<std::uint64_t> targets;
};

TEST_P(StructuralScanTest, SeesTheItemsOfATuple) {
  const auto tuple = heap.make_tuple({heap.list, heap.dict});

  ASSERT_TRUE(scan(tuple));

  EXPECT_EQ(targets, (std::vector<std::uint64_t>{heap.list, heap.dict}));
  EXPECT_EQ(stream[0], tuple);
  EXPECT_TRUE(scanner.is_object(tuple));
}

TEST_P(StructuralScanTest, NothingIsWrittenOfAnObjectWhoseTypeIsNone) {
  const auto object = heap.make_object(heap.list, 40);
  heap.allocate(2 * HostileMemory::kPage);
  const auto page = heap.make_static_type("list", heap.object, kFlagList);
  memory.tear(page);
  for (const std::uint64_t type : {std::uint64_t{0}, std::uint64_t{1}, heap.list + 4, std::uint64_t{8}, page,
                                   ~std::uint64_t{0}, ~std::uint64_t{7}, object, std::uint64_t{0x7ffffffffff8}}) {
    heap.put(object + heap.layout.object.ob_type, type);

    EXPECT_FALSE(scan(object)) << std::hex << type;
    EXPECT_FALSE(scanner.is_object(object)) << std::hex << type;
    EXPECT_EQ(scanner.size_of(object), std::nullopt) << std::hex << type;
    EXPECT_TRUE(stream.empty());
    EXPECT_TRUE(targets.empty());
  }
}

// A type there could be read where addresses have 57 bits: it is none all the same, for no place of the graph holds it.
TEST_P(StructuralScanTest, ATypeAboveTheAddressSpaceIsNone) {
  for (const std::uint64_t above : {HostileMemory::kHigh, HostileMemory::kHigh << 1, HostileMemory::kHigh << 9}) {
    const auto object = heap.make_object(heap.list + above, 40);
    ASSERT_TRUE(above != HostileMemory::kHigh || memory.try_read<std::uint64_t>(heap.list + above));

    EXPECT_FALSE(scan(object));
    EXPECT_FALSE(scanner.is_object(object));
    EXPECT_EQ(scanner.size_of(object), std::nullopt);
  }
  EXPECT_FALSE(scan(heap.make_tuple({heap.list}) + HostileMemory::kHigh));
  EXPECT_TRUE(types.types().empty());
}

TEST_P(StructuralScanTest, ForgedSizesEndWhereTheMappingEnds) {
  const auto tuple = heap.make_tuple({heap.list, heap.list, heap.list});
  const auto list = heap.make_object(heap.list, 40);
  heap.put(list + heap.layout.sequence.list_items, tuple + heap.layout.sequence.tuple_items);
  const auto number = heap.make_integer(7);
  const auto dict = heap.make_dict({{"a", heap.list}});
  const auto keys = heap.read<std::uint64_t>(dict + heap.layout.dict.ma_keys);
  const auto set = heap.make_object(heap.make_static_type("set", heap.object, kFlagHaveGc, 200), 200);
  heap.put(set + heap.layout.set.table, tuple);
  for (const std::uint64_t size : kForgedSizes) {
    heap.put(tuple + heap.layout.object.ob_size, size);
    heap.put(list + heap.layout.object.ob_size, size);
    heap.put(list + heap.layout.sequence.list_allocated, size);
    heap.put(number + heap.layout.integer.tag, size);
    heap.put(keys + heap.layout.dict.dk_nentries, size);
    heap.put(set + heap.layout.set.mask, size);
    for (const auto object : {tuple, list, number, dict, set}) {
      const auto before = memory.reads();

      ASSERT_TRUE(scan(object));

      EXPECT_LE(stream.size(), heap.size() / 4) << size;
      EXPECT_LE(memory.reads() - before, heap.size()) << size;
      EXPECT_LE(stream[1], walker::kMaxObjectSize) << size;
    }
  }
}

TEST_P(StructuralScanTest, ATornPageEndsAnArray) {
  const auto items = heap.allocate(4 * HostileMemory::kPage);
  for (std::uint64_t at = 0; at < 4 * HostileMemory::kPage; at += 8) heap.put(items + at, heap.list);
  const auto list = heap.make_object(heap.list, 40);
  heap.put(list + heap.layout.sequence.list_items, items);
  heap.put(list + heap.layout.object.ob_size, 4 * HostileMemory::kPage / 8);
  const auto torn = (items / HostileMemory::kPage + 2) * HostileMemory::kPage;
  memory.tear(torn);

  ASSERT_TRUE(scan(list));

  EXPECT_EQ(targets.size(), (torn - items) / 8);
}

TEST_P(StructuralScanTest, ADictMayHoldItself) {
  const auto dict = heap.make_dict({{"a", heap.list}});
  const auto keys = heap.read<std::uint64_t>(dict + heap.layout.dict.ma_keys);
  const auto entry = keys + heap.layout.dict.keys_header + 8 + (heap.layout.dict.keys_form == 0 ? 8 : 0);
  heap.put(entry, dict);
  heap.put(entry + 8, dict);

  ASSERT_TRUE(scan(dict));
  EXPECT_EQ(targets, (std::vector<std::uint64_t>{dict, dict}));

  for (const std::uint64_t wild : {dict, dict + 8, keys + 4, std::uint64_t{8}, ~std::uint64_t{7}}) {
    heap.put(dict + heap.layout.dict.ma_keys, wild);
    heap.put(dict + heap.layout.dict.ma_values, wild);
    ASSERT_TRUE(scan(dict));
    EXPECT_LE(stream.size(), heap.size() / 4) << std::hex << wild;
  }
}

TEST_P(StructuralScanTest, ReferencesThatNoObjectCanHaveAreNoEdges) {
  const auto tuple = heap.make_tuple(
      {1, 4, heap.list + 1, HostileMemory::kHigh + heap.list, ~std::uint64_t{7}, std::uint64_t{1} << 63, heap.dict});

  ASSERT_TRUE(scan(tuple));

  EXPECT_EQ(targets, (std::vector<std::uint64_t>{heap.dict}));
}

TEST_P(StructuralScanTest, RingsOfBasesAndAbsurdMrosEnd) {
  const auto first = heap.make_class("m", "A", heap.object);
  const auto second = heap.make_class("m", "B", first);
  const auto mro = heap.make_tuple({second, first});
  heap.put(first + heap.layout.type.tp_base, second);
  heap.put(first + heap.layout.type.tp_mro, mro);
  heap.put(second + heap.layout.type.tp_mro, mro);
  heap.put(mro + heap.layout.sequence.tuple_items, mro);
  heap.put(mro + heap.layout.object.ob_size, std::uint64_t{1} << 60);
  const auto object = heap.make_object(second, 64);
  const auto before = memory.reads();

  ASSERT_TRUE(scan(object));
  ASSERT_TRUE(scan(first));

  EXPECT_LE(memory.reads() - before, 200'000u);
}

class FrameScanTest : public StructuralScanTest {};  // to 3.10 frames are objects

TEST_P(FrameScanTest, AFrameMayBeItsOwnCaller) {
  constexpr std::int32_t kSlots = 100;
  const auto code = make_code(kSlots);
  std::array<std::uint64_t, 3> ring{};
  for (auto& frame : ring) frame = heap.allocate(heap.layout.frame.localsplus + 8 * kSlots);
  for (std::size_t i = 0; i < ring.size(); ++i) put_frame(ring[i], code, ring[(i + 1) % ring.size()]);
  const auto alone = heap.allocate(heap.layout.frame.localsplus + 8 * kSlots);
  put_frame(alone, code, alone);

  ASSERT_TRUE(scan(make_frame_object(alone)));
  EXPECT_LE(edges_of_kind(EdgeKind::kField), 10u);
  ASSERT_TRUE(scan(make_frame_object(ring[0])));
  EXPECT_LE(edges_of_kind(EdgeKind::kField), 40u);
}

TEST_P(FrameScanTest, ManyFramesInOnePlaceHaveNoMoreSlotsThanOne) {
  constexpr std::int32_t kSlots = 20'000;
  constexpr std::uint64_t kFrames = 400;
  const auto code = make_code(kSlots);
  const auto stack = heap.allocate(kFrames * 256 + heap.layout.frame.localsplus + 8 * kSlots);
  for (std::uint64_t at = 0; at < kFrames * 256 + 8 * kSlots; at += 8) heap.put(stack + at, heap.list);
  for (std::uint64_t i = 0; i < kFrames; ++i) {
    put_frame(stack + i * 256, code, i + 1 < kFrames ? stack + (i + 1) * 256 : 0);
    heap.put(stack + i * 256 + heap.layout.frame.owner, std::uint8_t{0});
  }

  ASSERT_TRUE(scan(make_frame_object(stack)));

  EXPECT_GE(edges_of_kind(EdgeKind::kLocal), std::uint64_t{kSlots} / 2);
  EXPECT_LE(edges_of_kind(EdgeKind::kLocal), 1u << 21);
}

TEST_P(StructuralScanTest, ForgedShapesOfArraysEnd) {
  const auto type = heap.make_static_type("numpy.ndarray", heap.object, 0, 80);
  const auto array = heap.make_object(type, 96);
  const auto shape = heap.allocate(64 * 8);
  const auto descr = heap.make_object(heap.make_static_type("numpy.dtype", heap.object, 0, 96), 128);
  heap.put(descr + 28, 17);  // objects
  memory.repeat(heap.list);
  heap.put(array + 32, shape);
  heap.put(array + 40, shape);
  heap.put(array + 56, descr);
  heap.put(array + 16, HostileMemory::kEndless);
  for (const std::int32_t axes : {0, 1, 2, 32, 33, -1, INT32_MIN, INT32_MAX}) {
    heap.put(array + 24, axes);
    for (const std::uint64_t size : kForgedSizes) {
      // Lengths and strides are the same words: what is long is far apart, and soon beyond the mapping.
      for (std::uint64_t i = 0; i < 64; ++i) heap.put(shape + 8 * i, size);
      ASSERT_TRUE(scan(array));
      EXPECT_LE(stream.size(), 1000u) << axes << ' ' << size;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Releases, StructuralScanTest,
                         ::testing::Values(0x030812f0, 0x030912f0, 0x030a0df0, 0x030b07f0, 0x030c01f0, 0x030d00f0,
                                           0x030e0af0, 0x030f02f0));
INSTANTIATE_TEST_SUITE_P(Releases, FrameScanTest,
                         ::testing::Values(0x030b07f0, 0x030c01f0, 0x030d00f0, 0x030e0af0, 0x030f02f0));

}  // namespace
}  // namespace memsnap
