#include "snapshot/memory/ranges.h"

#include <gtest/gtest.h>

#include "snapshot/memory/page_scan.h"
#include "snapshot/memory/resident_pages.h"

namespace memsnap {

bool operator==(const Run& a, const Run& b) { return a.begin == b.begin && a.end == b.end; }

namespace {

using Runs = std::vector<Run>;

TEST(Ranges, MergedDropsEmptyOnesAndJoinsThoseThatTouch) {
  EXPECT_EQ(merged({{30, 40}, {10, 20}, {20, 25}, {5, 5}, {35, 50}}), (Runs{{10, 25}, {30, 50}}));
}

TEST(Ranges, SubtractLeavesWhatIsBetween) {
  const Runs ranges{{0, 100}, {200, 300}};

  EXPECT_EQ(subtract(ranges, Runs{{10, 20}, {50, 250}, {290, 400}}), (Runs{{0, 10}, {20, 50}, {250, 290}}));
  EXPECT_EQ(subtract(ranges, Runs{}), ranges);
  EXPECT_EQ(subtract(ranges, Runs{{0, 400}}), Runs{});
}

TEST(Ranges, CommonIsWhatBothHave) {
  EXPECT_EQ(common(Runs{{0, 100}, {200, 300}}, Runs{{50, 60}, {90, 210}}), (Runs{{50, 60}, {90, 100}, {200, 210}}));
}

TEST(ResidentPages, ACursorAndASearchCountTheSame) {
  const ResidentPages pages(Runs{{0x1000, 0x3000}, {0x5000, 0x6000}});
  ResidentPages::Cursor cursor(pages);

  EXPECT_EQ(pages.total(), 0x3000u);
  for (const auto range : Runs{{0, 0x800}, {0x800, 0x1800}, {0x1800, 0x1810}, {0x1810, 0x5800}, {0x5800, 0x9000}}) {
    EXPECT_EQ(cursor.bytes(range.begin, range.end), pages.bytes(range.begin, range.end)) << range.begin;
  }
  EXPECT_EQ(pages.bytes(0x1800, 0x5800), 0x2000u);
  EXPECT_EQ(pages.next(0x3000), 0x5000u);
  EXPECT_EQ(pages.next(0x5800), 0x5800u);
  EXPECT_EQ(pages.next(0x6000), ~0ull);
}

TEST(PageScan, SmapsGivesEachMappingItsUse) {
  const auto all = parse_mapping_use(
      "10000000-10100000 rw-p 00000000 00:00 0    [heap]\nSize:  1024 kB\nRss:   512 kB\nAnonHugePages:  0 kB\n"
      "7f00-8f00 rw-p 00000000 00:00 0\nRss:  4 kB\nAnonHugePages:  2048 kB\nVmFlags: rd wr\n");

  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].begin, 0x10000000u);
  EXPECT_EQ(all[0].rss, 512u * 1024);
  EXPECT_EQ(all[1].end, 0x8f00u);
  EXPECT_EQ(all[1].anon_huge, 2048u * 1024);
}

}  // namespace
}  // namespace memsnap
