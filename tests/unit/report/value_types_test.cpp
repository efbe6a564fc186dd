#include "report/cli/value_types.h"

#include <gtest/gtest.h>

namespace memsnap {
namespace {

TEST(ParseDuration, TakesUnitsAndBareSeconds) {
  EXPECT_EQ(parse_duration("250ms")->value.count(), 250);
  EXPECT_EQ(parse_duration("5s")->value.count(), 5000);
  EXPECT_EQ(parse_duration("1.5m")->value.count(), 90000);
  EXPECT_EQ(parse_duration("14d")->value.count(), 14LL * 86400 * 1000);
  EXPECT_EQ(parse_duration("0")->value.count(), 0);
  EXPECT_EQ(parse_duration("10")->value.count(), 10000);
}

TEST(ParseDuration, RefusesWhatIsNoTime) {
  for (const char* text : {"", "s", "-1s", "5x", "1e5", "inf", "nan", "1.2.3s", "5 s x", "99999999999999999d"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(ParseByteCount, KnowsBinaryAndDecimalUnits) {
  EXPECT_EQ(parse_byte_count("4096")->value, 4096u);
  EXPECT_EQ(parse_byte_count("512KiB")->value, 512u * 1024);
  EXPECT_EQ(parse_byte_count("2G")->value, 2ull << 30);
  EXPECT_EQ(parse_byte_count("1GB")->value, 1000000000u);
  EXPECT_EQ(parse_byte_count("1.5 MiB")->value, 1572864u);
}

TEST(ParseByteCount, RefusesWhatIsNoSize) {
  for (const char* text : {"", "MiB", "-1", "1PB", "0x10", "99999999999999999999", "1 MiB 2"}) {
    EXPECT_FALSE(parse_byte_count(text)) << text;
  }
}

TEST(ParseProcessNumber, TakesPlainPidsOnly) {
  EXPECT_EQ(parse_process_number("4242")->value, 4242);
  for (const char* text : {"0", "-1", "+1", "4242x", "./4242", "4194305", "99999999999", " 1", ""}) {
    EXPECT_FALSE(parse_process_number(text)) << text;
  }
}

}  // namespace
}  // namespace memsnap
