#include "snapshot/capture/fold_rows.h"

#include <gtest/gtest.h>

#include <string>

#include "snapshot/capture/merge_slices.h"

namespace memsnap {
namespace {

// A call chain of three, five rows on it and on the root, two slices.
AllocationProfile five_rows() {
  AllocationProfile profile;
  profile.allocators = {{profile.strings.add("malloc"), 0, 0}, {profile.strings.add("unknown"), 0, 0}};
  profile.threads = {{0, 0, 0, 0}, {7, profile.strings.add("worker"), 5, 15}};
  profile.call_parent = {0, 0, 1, 2};
  profile.call_frame = {kNoFrame, 0, 1, 2};
  for (const char* name : {"outer", "middle", "inner"}) {
    profile.frames.push_back({profile.strings.add(name), profile.strings.add(std::string(name) + ".py"), 3, 1});
  }
  profile.row_call = {3, 2, 1, 0, 2};
  profile.row_thread = {1, 1, 1, 0, 0};
  profile.row_allocator = {0, 0, 0, 1, 0};
  profile.allocated = {{1, 1}, {2, 500}, {3, 300}, {4, 4}, {5, 5}};
  profile.live = profile.peak = {{1, 1}, {1, 100}, {1, 20}, {1, 4}, {1, 5}};
  profile.temporary = {1, 1, 2, 3, 4};
  profile.samples = {1, 2, 3, 4, 5};
  profile.changes = {{0, 1, 1, 1, 1}, {1, 2, 500, 1, 100}, {2, 3, 300, 1, 20}, {3, 4, 4, 1, 4}, {4, 5, 5, 1, 5}};
  profile.slices.resize(2);
  profile.slices[0].change_count = 2;
  profile.slices[1].change_begin = 2;
  profile.slices[1].change_count = 3;
  return profile;
}

TEST(FoldRows, TheLargestStayAndTheSumsToo) {
  AllocationProfile profile = five_rows();
  ASSERT_TRUE(is_consistent(profile));
  const BlockTotals allocated = sum_of(profile.allocated);

  fold_rows(profile, 2);

  EXPECT_TRUE(is_consistent(profile));
  ASSERT_EQ(profile.row_count(), 3u);
  EXPECT_EQ(profile.allocated[0], (BlockTotals{2, 500}));
  EXPECT_EQ(profile.allocated[1], (BlockTotals{3, 300}));
  EXPECT_EQ(profile.allocated[2], (BlockTotals{10, 10}));
  EXPECT_EQ(sum_of(profile.allocated), allocated);
  EXPECT_EQ(profile.samples[2], 10u);
  EXPECT_EQ(profile.row_call[2], 0u);
  ASSERT_EQ(profile.call_count(), 3u);  // the root, outer, middle
  EXPECT_EQ(profile.strings.text(profile.frames[profile.call_frame[profile.row_call[0]]].function), "middle");
  EXPECT_FALSE(profile.strings.find("inner").has_value());
  EXPECT_EQ(profile.strings.text(profile.threads[1].name), "worker");
  ASSERT_EQ(profile.changes_of(profile.slices[1]).size(), 2u);
  EXPECT_EQ(profile.changes_of(profile.slices[1])[1], (SliceChange{2, 9, 9, 2, 9}));
}

TEST(FoldRows, NothingHappensWhereThereIsLittle) {
  AllocationProfile profile = five_rows();
  fold_rows(profile, 4);
  EXPECT_EQ(profile.row_count(), 5u);
}

TEST(FoldRows, AllBecomeOne) {
  AllocationProfile profile = five_rows();
  fold_rows(profile, 0);
  merge_slices(profile);
  EXPECT_TRUE(is_consistent(profile));
  ASSERT_EQ(profile.row_count(), 1u);
  EXPECT_EQ(profile.allocated[0], (BlockTotals{15, 810}));
  EXPECT_EQ(profile.call_count(), 1u);
  ASSERT_EQ(profile.changes.size(), 1u);
  EXPECT_EQ(profile.changes[0], (SliceChange{0, 15, 810, 5, 130}));
}

}  // namespace
}  // namespace memsnap
