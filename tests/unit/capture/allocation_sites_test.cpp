#include "snapshot/capture/allocation_sites.h"

#include <gtest/gtest.h>

#include <random>

#include "snapshot/capture/slice_recorder.h"
#include "tests/unit/capture/fake_tables.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kHeap = 0x7f1234500000;

HeapGraph graph_of(const std::vector<std::uint64_t>& addresses) {
  HeapGraph graph;
  graph.types.resize(1);
  for (const std::uint64_t address : addresses) {
    graph.address.push_back(address);
    graph.type.push_back(0);
    graph.size.push_back(16);
    graph.flags.push_back(0);
  }
  return graph;
}

TEST(AllocationSites, AnObjectIsInTheBlockThatHoldsIt) {
  FakeTables tables;
  const std::uint32_t site = tables.site(tables.thread(1));
  const std::vector<std::uint32_t> rows{0, 0, 7, 8, 9, 10};
  ASSERT_EQ(site, 2u);
  for (int i = 0; i < 3; ++i) tables.site(1);
  tables.allocate(2, kHeap, 28);          // an int
  tables.allocate(3, kHeap + 0x100, 72);  // a list: GC head
  tables.allocate(4, kHeap + 0x200, 88);  // an instance with a managed dict
  tables.allocate(5, kHeap + 0x2e0, 16);  // ends where the next object begins
  HeapGraph graph = graph_of({kHeap, kHeap + 0x110, kHeap + 0x220, kHeap + 0x2f0, kHeap + 0x400});

  fill_allocation_sites(graph, tables.reader(), rows);

  EXPECT_EQ(graph.site, (std::vector<std::uint32_t>{7, 8, 9, 0, 0}));
}

TEST(AllocationSites, BlocksMayBeginInTheMebibyteBefore) {
  FakeTables tables;
  const std::uint32_t site = tables.site(tables.thread(1));
  const std::uint64_t border = kHeap + (1u << 20);
  tables.allocate(site, border - 16, 200);
  tables.allocate(site, border + 0x400, 200);
  HeapGraph graph = graph_of({border, border + 0x400, border + (std::uint64_t{1} << 40)});

  fill_allocation_sites(graph, tables.reader(), {0, 0, 3});

  EXPECT_EQ(graph.site, (std::vector<std::uint32_t>{3, 3, 0}));
}

TEST(AllocationSites, NothingElseHasOne) {
  FakeTables tables;
  const std::uint32_t site = tables.site(tables.thread(1));
  tables.allocate(site, kHeap, 100);
  tables.allocate(site + 50, kHeap + 0x100, 100);  // a site that has no row
  tables.allocate(site, kHeap + 0x200, 8);         // native memory smaller than an object
  HeapGraph graph = graph_of({8, kHeap, kHeap + 0x100, kHeap + 0x200, ~0ull - 15});
  graph.flags[1] = kNodeSynthetic;
  graph.flags[3] = kNodeNative;

  fill_allocation_sites(graph, tables.reader(), {0, 0, 3});

  EXPECT_EQ(graph.site, (std::vector<std::uint32_t>{0, 0, 0, 3, 0}));
}

TEST(AllocationSites, OfHostileTablesAreRows) {
  std::mt19937_64 random(9);
  for (int round = 0; round < 50; ++round) {
    FakeTables tables({}, 1, {.leaves = 3});
    tables.site(tables.thread(1));
    auto* const roots = reinterpret_cast<std::uint32_t*>(tables.base() + tables.header().sections.roots.offset);
    for (std::uint64_t i = 0; i < 8; ++i) roots[(kHeap >> kLeafShift) + i] = static_cast<std::uint32_t>(random() % 6);
    auto* const words = reinterpret_cast<std::uint64_t*>(tables.base() + tables.header().sections.leaves.offset);
    for (std::uint64_t i = 0; i < 3 * kLeafWords; i += 3) words[i] = random() >> (random() % 64);
    std::vector<std::uint64_t> addresses;
    for (std::uint64_t i = 0; i < 5000; ++i) addresses.push_back(kHeap + 1600 * i);
    HeapGraph graph = graph_of(addresses);

    fill_allocation_sites(graph, tables.reader(), {0, 4, 5});

    for (const std::uint32_t site : graph.site) ASSERT_LE(site, 5u);
  }
}

}  // namespace
}  // namespace memsnap
