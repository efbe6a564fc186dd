#include "snapshot/walk/collector_lists.h"

#include <gtest/gtest.h>

#include "tests/unit/cpython/fake_heap.h"
#include "tests/unit/walk/hostile_memory.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kGcHead = 16;
constexpr std::size_t kStackWords = 512;

// A collector's local lists: heads on a stack, objects in the heap.
class CollectorListsTest : public ::testing::Test {
 protected:
  std::uint64_t make_node() {
    const auto at = heap.allocate(kGcHead + 40);
    heap.put(at + kGcHead + heap.layout.object.ob_refcnt, std::uint64_t{1});
    heap.put(at + kGcHead + heap.layout.object.ob_type, heap.list);
    return at;
  }
  std::vector<std::uint64_t> make_chain(std::size_t length, std::uint64_t from) {
    std::vector<std::uint64_t> nodes;
    for (std::size_t i = 0; i < length; ++i) nodes.push_back(make_node());
    heap.put(from, nodes.front());
    for (std::size_t i = 0; i + 1 < length; ++i) heap.put(nodes[i], nodes[i + 1]);
    heap.put(nodes.back(), from);
    return nodes;
  }
  std::vector<std::uint64_t> find(const std::vector<std::uint64_t>& known = {}) {
    Mapping mapping{.begin = stack, .end = stack + 8 * kStackWords, .readable = true, .writable = true, .name = name};
    const std::vector<std::uint64_t> threads{stack + 64};
    return find_stack_heads(memory, MemoryMap({mapping}), heap.layout, threads, known);
  }

  FakeHeap heap{0x030b07f0};
  HostileMemory memory{heap};
  std::string name = "[stack]";
  std::uint64_t stack = heap.allocate(8 * kStackWords);
  std::uint64_t head = stack + 160;
};

TEST_F(CollectorListsTest, AHeadOnAStackIsFoundByTheChainThatComesBack) {
  make_chain(5, head);
  make_chain(1, head + 160);

  EXPECT_EQ(find(), (std::vector<std::uint64_t>{head, head + 160}));
  name = "";  // another thread's
  EXPECT_EQ(find(), (std::vector<std::uint64_t>{head, head + 160}));
}

TEST_F(CollectorListsTest, OnlyMappingsOfThreadsAreSearched) {
  make_chain(5, head);
  const Mapping other{.begin = stack, .end = stack + 8 * kStackWords, .readable = true, .writable = true, .name = ""};

  EXPECT_TRUE(find_stack_heads(memory, MemoryMap({other}), heap.layout, {}, {}).empty());
}

TEST_F(CollectorListsTest, AKnownListIsNotFoundAgain) {
  make_chain(5, head);
  make_chain(2, head + 160);

  EXPECT_EQ(find({head}), std::vector<std::uint64_t>{head + 160});
}

TEST_F(CollectorListsTest, ARingBesideTheStackEnds) {
  const auto nodes = make_chain(300, head);
  heap.put(nodes.back(), nodes[100]);
  const auto alone = make_node();
  heap.put(alone, alone);
  heap.put(stack + 400, alone);

  EXPECT_TRUE(find().empty());
  EXPECT_LT(memory.reads(), 10'000u);
}

TEST_F(CollectorListsTest, WildLinksEndAList) {
  const auto nodes = make_chain(3, head);
  const auto torn = heap.allocate(3 * HostileMemory::kPage) + 2 * HostileMemory::kPage;
  memory.tear(torn);
  const auto no_object = heap.allocate(64);
  heap.put(no_object, head);
  for (const std::uint64_t wild :
       {std::uint64_t{0}, std::uint64_t{8}, ~std::uint64_t{0}, ~std::uint64_t{7}, torn, nodes[0] + HostileMemory::kHigh,
        std::uint64_t{0xdeadbeef0000}, nodes[0] + 4, no_object, std::uint64_t{1} << 63}) {
    heap.put(nodes[1], wild);

    EXPECT_TRUE(find().empty()) << std::hex << wild;
  }
}

// A stack full of words that lead into one list costs no more than the list.
TEST_F(CollectorListsTest, ManyWordsIntoOneListAreLinear) {
  const auto nodes = make_chain(5000, head);
  heap.put(nodes.back(), std::uint64_t{0});  // no word of it comes back
  for (std::size_t i = 0; i < kStackWords; ++i) heap.put(stack + 8 * i, nodes[i]);

  EXPECT_TRUE(find().empty());
  EXPECT_LT(memory.reads(), 20 * nodes.size());
}

TEST_F(CollectorListsTest, TypesInARingAreNoReason) {
  const auto nodes = make_chain(3, head);
  heap.put(nodes[1] + kGcHead + heap.layout.object.ob_type, nodes[1] + kGcHead);

  EXPECT_TRUE(find().empty());
}

}  // namespace
}  // namespace memsnap
