#include "report/memory_report.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

#include "report/renderer.h"
#include "tests/unit/report/planted.h"

namespace memsnap {
namespace {

std::string text_of(const Report& report, Units units = Units::kIec) {
  std::ostringstream out;
  TextStyle style;
  style.units = units;
  TextRenderer(style).render(report, out);
  return out.str();
}

TEST(MemoryReport, OneFigureIsAloneOnItsLine) {
  const SnapshotHeader header = shop_snapshot().header;

  EXPECT_EQ(text_of(make_memory(header, MemoryMetric::kRss), Units::kBytes), "1406529536\n");
  EXPECT_EQ(text_of(make_memory(header, MemoryMetric::kUss)), "1.27 GiB\n");
}

TEST(MemoryReport, TheSumHasEveryByteOfTheParts) {
  Report report;
  report.headline = {memory_sum(shop_snapshot().header.memory)};

  EXPECT_EQ(text_of(report, Units::kBytes),
            "RSS 1406529536 = objects 640678000 + pymalloc free 222298112 + malloc free 315621376 + native 113246208 + "
            "other 114685840\n");
}

TEST(MemoryReport, SaysWhatWouldReturnMemory) {
  const std::string text = text_of(make_memory(shop_snapshot().header, MemoryMetric::kAll));

  EXPECT_NE(text.find("malloc keeps 301.0 MiB free: fragmentation or a missing trim; malloc_trim would return about "
                      "240.0 MiB"),
            std::string::npos)
      << text;
  EXPECT_NE(text.find("arenas 27 % empty: returned only when a whole arena empties"), std::string::npos) << text;
}

TEST(MemoryReport, AnotherAllocatorIsNamed) {
  SnapshotHeader header = shop_snapshot().header;
  header.memory.allocator = "jemalloc";

  EXPECT_NE(text_of(make_memory(header, MemoryMetric::kAll)).find("malloc is jemalloc's"), std::string::npos);
}

TEST(MemoryReport, ASmallProcessIsGivenNoAdvice) {
  SnapshotHeader header = shop_snapshot().header;
  for (MemoryPart& part : header.memory.parts) part.bytes /= 1000;
  header.memory.rss /= 1000;

  EXPECT_TRUE(memory_advice(header.memory).empty());
}

TEST(MemoryReport, AFileFromBeforeTheyWereMeasuredHasNoParts) {
  SnapshotHeader header = shop_snapshot().header;
  header.memory.parts.clear();

  EXPECT_TRUE(memory_advice(header.memory).empty());
  EXPECT_EQ(header.memory.accounted(), 0);
}

}  // namespace
}  // namespace memsnap
