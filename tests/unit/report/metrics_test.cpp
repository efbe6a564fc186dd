#include "report/metrics.h"

#include <gtest/gtest.h>

#include <set>
#include <sstream>

namespace memsnap {
namespace {

Snapshot snapshot_of(const std::string& app, std::int32_t pid, std::uint64_t start) {
  Snapshot snapshot;
  snapshot.header.target.name = app;
  snapshot.header.target.pid = pid;
  snapshot.header.target.start_time = start;
  snapshot.header.memory.rss = 4096;
  snapshot.header.memory.parts = {{kPartMallocFree, 10}, {kPartPymallocFree, 20}};
  snapshot.header.taken_at_ns = 1'500'000'000;
  snapshot.header.pause_ms = 2.5;
  return snapshot;
}

void add_type(Snapshot& snapshot, const std::string& name, std::uint64_t count, std::uint64_t size) {
  TypeEntry type;
  type.name = snapshot.graph.strings.add(name);
  type.count = count;
  type.size = size;
  snapshot.graph.types.push_back(type);
}

std::string text_of(const std::vector<Snapshot>& snapshots, MetricsFormat format = MetricsFormat::kPrometheus,
                    bool by_pid = false) {
  std::vector<ProcessFigures> figures;
  for (const Snapshot& snapshot : snapshots) figures.push_back(process_figures(snapshot, 2));
  return metrics_text(std::move(figures), std::nullopt, format, by_pid);
}

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST(Metrics, OfAProcess) {
  const std::string text = text_of({snapshot_of("shop", 42, 1)});
  EXPECT_TRUE(has_line(text, "# TYPE memsnap_process_resident_bytes gauge"));
  EXPECT_TRUE(has_line(text, "memsnap_process_resident_bytes{app=\"shop\",worker=\"0\"} 4096")) << text;
  EXPECT_TRUE(has_line(text, "memsnap_snapshot_pause_seconds{app=\"shop\",worker=\"0\"} 0.0025"));
  EXPECT_TRUE(has_line(text, "memsnap_snapshot_timestamp_seconds{app=\"shop\",worker=\"0\"} 1.5"));
  EXPECT_TRUE(has_line(text, "memsnap_allocator_free_bytes{app=\"shop\",worker=\"0\",allocator=\"malloc\"} 10"));
  EXPECT_EQ(text.find("EOF"), std::string::npos);
}

TEST(Metrics, WorkersAreCountedByTheirStart) {
  const std::string text = text_of({snapshot_of("shop", 7, 90), snapshot_of("shop", 9, 30), snapshot_of("etl", 8, 50)});
  EXPECT_TRUE(has_line(text, "memsnap_process_resident_bytes{app=\"shop\",worker=\"1\"} 4096"));
  EXPECT_TRUE(has_line(text, "memsnap_process_resident_bytes{app=\"etl\",worker=\"0\"} 4096"));
  EXPECT_TRUE(has_line(text_of({snapshot_of("shop", 7, 90)}, MetricsFormat::kPrometheus, true),
                       "memsnap_process_resident_bytes{app=\"shop\",pid=\"7\"} 4096"));
}

TEST(Metrics, OfOneThatIsNotKnownTheRankIsKept) {
  std::vector<ProcessFigures> figures{process_figures(snapshot_of("shop", 7, 90)), unknown_figures(9, 30, "shop", ""),
                                      unknown_figures(8, 95, "shop", "")};
  const std::string text = metrics_text(std::move(figures), std::nullopt, MetricsFormat::kPrometheus);
  EXPECT_TRUE(has_line(text, "memsnap_process_resident_bytes{app=\"shop\",worker=\"1\"} 4096")) << text;
  EXPECT_EQ(text.find("worker=\"0\""), std::string::npos);
  EXPECT_EQ(text.find("worker=\"2\""), std::string::npos);
  EXPECT_EQ(metrics_text({unknown_figures(9, 30, "shop", "")}, std::nullopt, MetricsFormat::kPrometheus), "");
}

TEST(Metrics, NameTheLargestTypesAndSumTheOthers) {
  Snapshot snapshot = snapshot_of("shop", 1, 1);
  add_type(snapshot, "dict", 5, 500);
  add_type(snapshot, "other", 1, 1000);
  add_type(snapshot, "str", 3, 100);
  add_type(snapshot, "a", 1, 30);
  add_type(snapshot, "a", 1, 40);
  add_type(snapshot, "native memory", 1, 9999);
  add_type(snapshot, "none", 0, 0);
  const std::string text = text_of({snapshot});
  EXPECT_TRUE(has_line(text, "memsnap_type_bytes{app=\"shop\",worker=\"0\",type=\"dict\"} 500"));
  EXPECT_TRUE(has_line(text, "memsnap_type_bytes{app=\"shop\",worker=\"0\",type=\"str\"} 100"));
  EXPECT_TRUE(has_line(text, "memsnap_type_bytes{app=\"shop\",worker=\"0\",type=\"other\"} 1070"));
  EXPECT_TRUE(has_line(text, "memsnap_type_objects{app=\"shop\",worker=\"0\",type=\"other\"} 3"));
  EXPECT_EQ(text.find("native memory"), std::string::npos);
}

TEST(Metrics, OfOpenMetricsHaveUnitsAndAnEnd) {
  const std::string text = text_of({snapshot_of("shop", 1, 1)}, MetricsFormat::kOpenMetrics);
  EXPECT_TRUE(has_line(text, "# UNIT memsnap_process_resident_bytes bytes"));
  EXPECT_TRUE(text.ends_with("\n# EOF\n"));
}

TEST(Metrics, OfARun) {
  const std::string text = metrics_text({}, RunFigures{2.5, 8, 4, 1}, MetricsFormat::kPrometheus);
  EXPECT_TRUE(has_line(text, "memsnap_last_run_exit_code 8"));
  EXPECT_TRUE(has_line(text, "memsnap_targets_failed 1"));
  EXPECT_TRUE(has_line(text, "memsnap_last_run_timestamp_seconds 2.5"));
}

// Names of a hostile process: no line is broken, and no series is there twice.
TEST(Metrics, OfHostileNamesAreSound) {
  Snapshot snapshot = snapshot_of("a\"b\\c\nd\x01", 1, 1);
  for (const char* name : {"x\n# TYPE", "\"} 1", "\xff", "\xfe", "\\", "\x7f\x1b[31m"}) add_type(snapshot, name, 1, 1);
  add_type(snapshot, std::string(1000, 'a') + "1", 1, 1);
  add_type(snapshot, std::string(1000, 'a') + "2", 1, 1);
  const std::string text = metrics_text({process_figures(snapshot)}, std::nullopt, MetricsFormat::kPrometheus);
  std::istringstream lines(text);
  std::set<std::string> series;
  for (std::string line; std::getline(lines, line);) {
    ASSERT_TRUE(line.starts_with("# HELP memsnap_") || line.starts_with("# TYPE memsnap_") ||
                line.starts_with("memsnap_"))
        << line;
    if (line.starts_with("memsnap_")) {
      EXPECT_TRUE(series.insert(line.substr(0, line.rfind(' '))).second) << line;
    }
  }
  EXPECT_NE(text.find("app=\"a\\\"b\\\\c\\nd\\\\x01\""), std::string::npos) << text.substr(0, 300);
}

}  // namespace
}  // namespace memsnap
