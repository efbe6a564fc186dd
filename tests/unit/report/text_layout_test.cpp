#include "report/text_layout.h"

#include <gtest/gtest.h>

#include <clocale>

namespace memsnap {
namespace {

TEST(TextLayout, CountsHaveSeparators) {
  EXPECT_EQ(count_text(0), "0");
  EXPECT_EQ(count_text(999), "999");
  EXPECT_EQ(count_text(1000), "1,000");
  EXPECT_EQ(count_text(4102331), "4,102,331");
}

TEST(TextLayout, SizesCarryTheirTrueUnit) {
  EXPECT_EQ(bytes_text(48, Units::kIec), "48 B");
  EXPECT_EQ(bytes_text(1536, Units::kIec), "1.5 KiB");
  EXPECT_EQ(bytes_text(1048575, Units::kIec), "1.0 MiB");
  EXPECT_EQ(bytes_text(1406529536, Units::kIec), "1.31 GiB");
  EXPECT_EQ(bytes_text(1500, Units::kSi), "1.5 kB");
  EXPECT_EQ(bytes_text(1406529536, Units::kBytes), "1406529536");
}

TEST(TextLayout, APercentageIsNeverRoundedToNothing) {
  EXPECT_EQ(percent_text(0), "0");
  EXPECT_EQ(percent_text(0.01), "<1");
  EXPECT_EQ(percent_text(36.8), "37");
}

TEST(TextLayout, ANumberIsNoChange) {
  EXPECT_EQ(cell_text(std::int64_t{20726}, CellKind::kNumber, Units::kIec), "20726");
  EXPECT_EQ(cell_text(std::uint64_t{20726}, CellKind::kNumber, Units::kIec), "20726");
  EXPECT_EQ(cell_text(std::int64_t{20726}, CellKind::kChange, Units::kIec), "+20,726");
}

TEST(TextLayout, TheMiddleIsCut) {
  EXPECT_EQ(cut_middle("shop/handlers.py:41", 13, false), "shop/h….py:41");
  EXPECT_EQ(cut_middle("short", 5, false), "short");
  EXPECT_EQ(cut_middle("shop/handlers.py:41", 11, true), "shop...y:41");
}

TEST(TextLayout, WideCharactersAreNotCutInHalf) {
  ASSERT_NE(std::setlocale(LC_CTYPE, "C.UTF-8"), nullptr);

  const std::string cut = cut_middle("日本語日本語", 7, false);

  EXPECT_EQ(cut, "日…本語");
}

TEST(TextLayout, DurationsHaveTwoUnitsAtMost) {
  EXPECT_EQ(duration_text(41.9), "41 s");
  EXPECT_EQ(duration_text(3600 * 3 + 60 * 5), "3h 5m");
  EXPECT_EQ(duration_text(3 * 86400 + 4 * 3600 + 59), "3d 4h");
}

}  // namespace
}  // namespace memsnap
