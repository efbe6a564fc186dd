#include "report/points_report.h"

#include <gtest/gtest.h>

#include <sstream>

#include "report/points_plot.h"

namespace memsnap {
namespace {

constexpr std::int64_t kSecond = 1'000'000'000;
constexpr std::uint64_t kMebi = 1024 * 1024;

MemoryPoint point(const std::string& id, std::uint64_t rss, std::int64_t second = 0, std::int32_t pid = 42) {
  MemoryPoint made;
  made.process = {"host", "boot", pid, 7};
  made.id = id;
  made.asked = id.substr(0, id.find("-2"));
  made.memory.time_ns = second * kSecond;
  made.memory.rss = rss;
  return made;
}

std::vector<ListedPoint> listed(const std::vector<MemoryPoint>& points, PointMetric metric = PointMetric::kRss) {
  PointLister lister(metric);
  std::vector<ListedPoint> out;
  for (const MemoryPoint& one : points) out.push_back(lister.list(one));
  return out;
}

std::string text_of(const std::vector<Line>& lines) {
  Report report;
  report.headline = lines;
  std::ostringstream out;
  TextRenderer(TextStyle()).render(report, out);
  return out.str();
}

std::string csv_of(const Report& report) {
  std::ostringstream out;
  CsvRenderer().render(report, out);
  return out.str();
}

TEST(PointsReport, ALineHasNumberMemoryChangeAndId) {
  const auto points = listed({point("memsnap attach", 92706243), point("big", 1385126953), point("small", 1000)});

  EXPECT_EQ(text_of({point_line(points[0], {}), point_line(points[1], {}), point_line(points[2], {})}),
            " 0   88.41 MiB                → memsnap attach\n"
            " 1    1.29 GiB    +1.20 GiB   → big\n"
            " 2      1000 B    -1.29 GiB   → small\n");
}

TEST(PointsReport, TheTerminalIsSafeFromIds) {
  PointsStyle style;
  style.ascii = true;
  style.units = Units::kBytes;

  EXPECT_EQ(text_of({point_line(listed({point("\x1b[31m\xff", 5)})[0], style)}),
            " 0           5                -> \\x1b[31m\\xff\n");
}

TEST(PointsReport, AChangeIsToThePointBeforeOfTheSameProcess) {
  const auto points = listed({point("a", 100), point("b", 10, 0, 43), point("c", 130), point("d", 5, 0, 43)});

  EXPECT_FALSE(points[1].delta);
  EXPECT_EQ(points[2].delta, 30);
  EXPECT_EQ(points[3].delta, -5);
  EXPECT_EQ(points[3].index, 3u);
}

TEST(PointsReport, ObjectsThatWereNotCountedAreNothing) {
  std::vector<MemoryPoint> points{point("a", 1), point("b", 1), point("c", 1)};
  points[0].memory.object_bytes = 10;
  points[2].memory.object_bytes = 25;

  const auto rows = listed(points, PointMetric::kObjects);

  EXPECT_FALSE(rows[1].value);
  EXPECT_EQ(rows[2].delta, 15);
  EXPECT_EQ(csv_of(make_points(rows, "f", PointMetric::kObjects)),
            "i,id,time,rss,pss,uss,pyobj,objects,delta,pause_ms,pid,host,name,note\r\n"
            "0,a,1970-01-01T00:00:00.000Z,1,0,0,10,,,,42,host,,\r\n"
            "1,b,1970-01-01T00:00:00.000Z,1,0,0,,,,,42,host,,\r\n"
            "2,c,1970-01-01T00:00:00.000Z,1,0,0,25,,15,,42,host,,\r\n");
}

TEST(PointsReport, TimesHaveMilliseconds) {
  EXPECT_EQ(exact_time_text(1795227304 * kSecond + 123456789), "2026-11-21T02:15:04.123Z");
  EXPECT_EQ(exact_time_text(-1), "1969-12-31T23:59:59.999Z");
}

TEST(PointsReport, PointsOfOneIdAreSummed) {
  const auto rows = listed({point("a", 10), point("b", 7), point("a-2", 30)});

  EXPECT_EQ(csv_of(make_points_by_id(rows, PointMetric::kRss)),
            "id,count,first,last,least,largest,delta\r\n"
            "a,2,10,30,10,30,20\r\n"
            "b,1,7,7,7,7,0\r\n");
}

TEST(PointsReport, CallsOfAFunctionAreMatchedInnermostFirst) {
  std::vector<MemoryPoint> points{point("Before f()", 100, 0), point("Before g()", 150, 1), point("Before f()", 160, 2),
                                  point("After f()", 165, 3),  point("After g()", 155, 4),  point("After f()", 300, 9),
                                  point("After h()", 400, 9)};
  points[3].note = "raised ValueError";

  EXPECT_EQ(csv_of(make_points_by_function(listed(points), PointMetric::kRss)),
            "function,calls,raised,delta,mean_delta,largest_delta,seconds\r\n"
            "f(),2,1,205,102,200,10\r\n"
            "g(),1,0,5,5,5,3\r\n");
}

TEST(PointsReport, TheCourseIsASparkline) {
  const auto rows = listed({point("a", kMebi, 0), point("b", 2 * kMebi, 60), point("c", 8 * kMebi, 120)});

  EXPECT_EQ(text_of({course_line(rows, {}).value()}), "    ▁▂█  1.00 MiB → 8.00 MiB (+7.00 MiB) in 2 min\n");
  EXPECT_FALSE(course_line(listed({point("a", 1)}), {}));
}

TEST(Sparkline, ScalesFromTheLeastToTheLargest) {
  EXPECT_EQ(sparkline({1, 8, 1}, 10, false), "▁█▁");
  EXPECT_EQ(sparkline({5, 5}, 10, false), "▁▁");
  EXPECT_EQ(sparkline({0, 1}, 10, true), ".#");
  EXPECT_EQ(sparkline({1, 2, 9, 1, 1, 1}, 2, true), "#.");
  EXPECT_EQ(sparkline({}, 10, true), "");
}

TEST(Plot, BarsStandOverTimeAndHoldUntilTheNextPoint) {
  PointsStyle style;
  style.ascii = true;
  style.units = Units::kBytes;
  style.width = 24;  // ten columns of bars

  const auto lines = plot_points(listed({point("a", 50, 0), point("b", 100, 90)}), style, 4);

  EXPECT_EQ(text_of(lines),
            "        100 |         #\n"
            "            |         #\n"
            "            |##########\n"
            "            |##########\n"
            "          0 +----------\n"
            "             1970-01-01T00:00 1970-01-01T00:01\n");
}

TEST(Plot, AClockThatWasSetBackDoesNotDisorderIt) {
  PointsStyle style;
  style.ascii = true;
  style.width = 24;

  const auto lines = plot_points(listed({point("a", 10, 100), point("b", 20, 50), point("c", 40, 60)}), style, 4);

  EXPECT_NE(text_of(lines).find("|     #####\n"), std::string::npos) << text_of(lines);
}

TEST(Plot, OfNothingSaysSo) {
  EXPECT_EQ(text_of(plot_points({}, {}, 4)), " no point to plot\n");
  EXPECT_NE(text_of(plot_points(listed({point("a", 0)}), {}, 4)).find("1970"), std::string::npos);
}

}  // namespace
}  // namespace memsnap
