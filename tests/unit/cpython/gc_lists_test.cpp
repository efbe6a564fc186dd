#include "snapshot/cpython/gc_lists.h"

#include <gtest/gtest.h>

#include "attach/base/error.h"
#include "snapshot/cpython/py_layout.h"
#include "tests/unit/cpython/fake_memory.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kInterpreter = 0x100000;
constexpr std::uint64_t kHeap = 0x200000;
constexpr std::uint64_t kHeapSize = 0x10000;

std::uint64_t header(std::uint64_t number) { return kHeap + 64 * number; }

void link(FakeMemory& memory, const std::vector<std::uint64_t>& ring, std::uint64_t flags = 0) {
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const std::uint64_t next = ring[(i + 1) % ring.size()];
    memory.put(ring[i], next);
    memory.put(next + 8, ring[i] | (i > 0 ? flags : 0));
  }
}

// An interpreter of 3.11 whose collector's lists begin at `offset`.
struct Collector {
  explicit Collector(std::uint64_t offset)
      : first(kInterpreter + offset), permanent(first + 72 + (first % 8 == 0 ? 8 : 12)) {
    python.version = PyVersion(0x030b07f0);
    python.layout = layout_for(0x030b07f0);
    memory.map(kInterpreter, python.layout.interpreter.size);
    memory.map(kHeap, kHeapSize);
    link(memory, {first, header(1), header(2), header(3)}, 1);
    link(memory, {first + 24, header(4)});
    link(memory, {first + 48});
    memory.put(first + 72 + (first % 8 == 0 ? 0 : 4), first);  // generation0
    link(memory, {permanent});
  }

  std::vector<GcLists> find() { return find_gc_lists(memory, python, {{.address = kInterpreter}}); }
  void set_collecting() {
    memory.put<std::int32_t>(kInterpreter + python.layout.interpreter.gc + python.layout.interpreter.gc_collecting, 1);
  }

  std::uint64_t first;
  std::uint64_t permanent;
  FakeMemory memory;
  PythonProcess python;
};

TEST(GcLists, AreFoundByTheirRings) {
  Collector collector(672);

  const auto lists = collector.find();

  ASSERT_EQ(lists.size(), 1u);
  EXPECT_EQ(lists[0].heads, (std::vector<std::uint64_t>{collector.first, collector.first + 24, collector.first + 48}));
  EXPECT_EQ(lists[0].permanent, collector.permanent);
  EXPECT_FALSE(lists[0].collecting);
}

TEST(GcLists, MayBeWhereTheTableDoesNotSayAndAlignedToFourBytes) {
  Collector collector(668);
  Collector far(4000);

  EXPECT_EQ(collector.find()[0].heads[0], kInterpreter + 668);
  EXPECT_EQ(far.find()[0].heads[0], kInterpreter + 4000);
}

TEST(GcLists, AThreadStoppedBetweenTwoStoresLeavesOneHalfLinked) {
  Collector collector(672);
  collector.memory.put(header(3), header(9));  // a new object after the last one, not yet linked back to the head

  EXPECT_EQ(collector.find()[0].heads[0], collector.first);
}

TEST(GcLists, DuringACollectionBackwardLinksHoldCounts) {
  Collector collector(672);
  collector.set_collecting();
  for (const std::uint64_t number : {1ull, 2ull, 3ull})
    collector.memory.put<std::uint64_t>(header(number) + 8, number << 2 | 2);
  collector.memory.put(header(3), header(1));

  const auto lists = collector.find();

  EXPECT_EQ(lists[0].heads[0], collector.first);
  EXPECT_TRUE(lists[0].collecting);
}

TEST(GcLists, NoRingsAreAnErrorThatNamesTheInterpreter) {
  Collector collector(672);
  collector.memory.put<std::uint64_t>(collector.permanent, 0);

  try {
    collector.find();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUnsupported);
    EXPECT_NE(std::string(error.what()).find("interpreter 0"), std::string::npos);
  }
}

std::vector<std::uint64_t> walked(const FakeMemory& memory, std::uint64_t head, bool complete) {
  std::vector<std::uint64_t> objects;
  const TrackedWalk walk = for_each_tracked(memory, head, [&](std::uint64_t object) { objects.push_back(object); });
  EXPECT_EQ(walk.complete, complete);
  EXPECT_EQ(walk.objects, objects.size());
  return objects;
}

TEST(TrackedObjects, ComeInOrderAndWithoutTheirHeader) {
  const Collector collector(672);

  EXPECT_EQ(walked(collector.memory, collector.first, true),
            (std::vector<std::uint64_t>{header(1) + 16, header(2) + 16, header(3) + 16}));
  EXPECT_TRUE(walked(collector.memory, collector.first + 48, true).empty());
}

TEST(TrackedObjects, FlagBitsInALinkAreNotPartOfIt) {
  Collector collector(672);
  collector.memory.put(header(1), header(2) | 1);

  EXPECT_EQ(walked(collector.memory, collector.first, true).size(), 3u);
}

TEST(TrackedObjects, ACircleBesideTheHeadEnds) {
  Collector collector(672);
  std::vector<std::uint64_t> circle;
  for (std::uint64_t number = 10; number < 900; ++number) circle.push_back(header(number));
  link(collector.memory, circle);
  collector.memory.put(header(3), circle.front());

  EXPECT_LT(walked(collector.memory, collector.first, false).size(), 4 * circle.size());
}

TEST(TrackedObjects, AWildLinkEndsTheList) {
  for (const std::uint64_t wild : {0ull, 8ull, 0xdeadbeef000ull, ~0ull, 1ull << 47}) {
    Collector collector(672);
    collector.memory.put<std::uint64_t>(header(2), wild);

    EXPECT_LE(walked(collector.memory, collector.first, false).size(), 3u) << wild;
  }
}

}  // namespace
}  // namespace memsnap
