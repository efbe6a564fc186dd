#include <gtest/gtest.h>

#include <string>

#include "report/diff_report.h"
#include "report/growth_report.h"
#include "report/info_report.h"
#include "report/json_output.h"
#include "report/process_report.h"
#include "report/renderer.h"
#include "report/snapshot_facts.h"
#include "report/stats_report.h"
#include "report/summary_report.h"
#include "tests/unit/report/golden.h"
#include "tests/unit/report/planted.h"

namespace memsnap {
namespace {

Report planted_report() {
  Report report = make_summary(planted_snapshot(), {});
  report.tree = planted_tree();
  return report;
}

TEST(RendererGolden, PlainSummaryAsText) {
  const std::string text = rendered(TextRenderer({}), make_summary(shop_snapshot(), {}));

  expect_golden("summary.txt", text);
}

TEST(RendererGolden, PlainSummaryAsJson) {
  const std::string text = rendered(JsonRenderer(), make_summary(shop_snapshot(), {}));

  expect_golden("summary.json", text);
}

DiffInput planted_diff(const SnapshotHeader& before, const SnapshotHeader& after) {
  DiffInput input{before, after, true, {}, ObjectChanges{{7, 700}, {2, 80}, {100, 9000}, {3, 64}}, {}};
  for (const std::string_view text : {kRed, kLink, kBidi, kLines, kNotUtf8, kC1, kCsv}) {
    const auto size = input.changes.size() * 1000;
    input.changes.push_back({std::string(text), std::string(text), {5, 5000}, {input.changes.size(), size}});
  }
  input.holder = NewHolder{std::string(kRed), std::string(kLink), 6};
  return input;
}

TEST(RendererGolden, DiffIsHarmlessInEveryForm) {
  const Snapshot planted = planted_snapshot();
  SnapshotHeader later = planted.header;
  later.taken_at_ns += 2'700'000'000'000;
  later.memory.rss += 311427072;

  const Report types = make_diff(planted_diff(planted.header, later), {});
  const Report paths = make_diff(planted_diff(planted.header, later), {.by = DiffBy::kPath});

  for (const Report* report : {&types, &paths}) {
    const std::string kind = report == &types ? "types" : "paths";
    const std::string text = rendered(TextRenderer({}), *report);
    expect_harmless(text);
    expect_golden("planted_diff_" + kind + ".txt", text);
    const std::string json = rendered(JsonRenderer(), *report);
    expect_harmless(json);
    expect_golden("planted_diff_" + kind + ".json", json);
    const std::string csv = rendered(CsvRenderer(), *report);
    expect_harmless(csv);
    expect_golden("planted_diff_" + kind + ".csv", csv);
  }
}

TEST(RendererGolden, GrowthIsHarmlessInEveryForm) {
  const Snapshot planted = planted_snapshot();
  std::vector<SnapshotHeader> headers(3, planted.header);
  headers[1].taken_at_ns += 60'000'000'000;
  headers[2].taken_at_ns += 120'000'000'000;
  std::vector<Growth> found;
  for (const std::string_view text : {kRed, kLink, kBidi, kLines, kNotUtf8, kC1, kCsv}) {
    found.push_back({{std::string(text), std::string(text), {{1, 100}, {2, 200}, {5, 6000}}}, 2, 50, 0.03, 0.75});
  }

  const Report report = make_growth(headers, found, found, {.rows = 6});

  const std::string text = rendered(TextRenderer({}), report);
  expect_harmless(text);
  expect_golden("planted_growth.txt", text);
  const std::string json = rendered(JsonRenderer(), report);
  expect_harmless(json);
  expect_golden("planted_growth.json", json);
  const std::string csv = rendered(CsvRenderer(), report);
  expect_harmless(csv);
  expect_golden("planted_growth.csv", csv);
}

TEST(RendererGolden, StatsAreHarmlessInEveryForm) {
  Snapshot planted = planted_snapshot();
  HeapGraph& graph = planted.graph;
  for (TypeId type = 0; type < graph.types.size(); ++type) {
    graph.address.push_back(0x7f0000000000 + 64 * type);
    graph.type.push_back(type);
    graph.size.push_back(std::uint64_t{40} << type);
    graph.flags.push_back(type == 0 ? kNodeTracked : 0);
  }

  const Report report = make_stats(planted, {{std::string(kRed), 3, 300}, {std::string(kCsv), 1, 50}}, {.largest = 20});

  const std::string text = rendered(TextRenderer({}), report);
  expect_harmless(text);
  expect_golden("planted_stats.txt", text);
  const std::string json = rendered(JsonRenderer(), report);
  expect_harmless(json);
  expect_golden("planted_stats.json", json);
  const std::string csv = rendered(CsvRenderer(), report);
  expect_golden("planted_stats.csv", csv);
}

TEST(RendererGolden, TypesOnlySummaryHasNoRetainedColumn) {
  Snapshot snapshot = shop_snapshot();
  snapshot.header.kind = SnapshotKind::kTypes;

  const std::string text = rendered(TextRenderer({}), make_summary(snapshot, {}));

  expect_golden("summary_types.txt", text);
}

TEST(RendererGolden, PlantedTextIsHarmlessOnATerminal) {
  const std::string text = rendered(TextRenderer({}), planted_report());

  expect_harmless(text);
  expect_golden("planted.txt", text);
}

TEST(RendererGolden, PlantedTextIsCutAndHarmlessInANarrowTerminal) {
  TextStyle style;
  style.width = 64;
  style.ascii = true;

  const std::string text = rendered(TextRenderer(style), planted_report());

  expect_harmless(text);
  expect_golden("planted_narrow.txt", text);
}

TEST(RendererGolden, OwnColoursAreTheOnlyEscapeSequences) {
  TextStyle style;
  style.color = true;

  std::string text = rendered(TextRenderer(style), planted_report());

  for (const std::string_view own : {"\x1b[0m", "\x1b[1m", "\x1b[2m", "\x1b[32m", "\x1b[33m", "\x1b[31m"}) {
    for (std::size_t at = 0; (at = text.find(own)) != std::string::npos;) text.erase(at, own.size());
  }
  expect_harmless(text);
  EXPECT_EQ(text, rendered(TextRenderer({}), planted_report()));
}

TEST(RendererGolden, PlantedTextIsHarmlessInJson) {
  const std::string text = rendered(JsonRenderer(), planted_report());

  expect_harmless(text);
  expect_golden("planted.json", text);
}

TEST(RendererGolden, PlantedTextIsHarmlessInJsonLines) {
  const std::string text = rendered(JsonLinesRenderer(), planted_report());

  expect_harmless(text);
  expect_golden("planted.jsonl", text);
}

TEST(RendererGolden, PlantedTextIsHarmlessInCsv) {
  Report tree_only = planted_report();
  tree_only.table.reset();

  const std::string table = rendered(CsvRenderer(), planted_report());
  const std::string tree = rendered(CsvRenderer(), tree_only);

  expect_harmless(table);
  expect_harmless(tree);
  expect_golden("planted_table.csv", table);
  expect_golden("planted_tree.csv", tree);
}

TEST(RendererGolden, PlantedTextIsHarmlessInInfoAndSnapshot) {
  const FileFacts file{
      "/tmp/" + std::string(kRed) + ".msnap", 65000000, 1, false, {{std::string(kC1), 1, 2, 3, true, false}}};
  const Report info = make_info(planted_snapshot().header, file);
  const Report snapshot =
      make_snapshot_report(planted_snapshot().header, SavedFile{file.path, file.bytes}, {std::string(kLines)});

  const std::string text = rendered(TextRenderer({}), info) + rendered(TextRenderer({}), snapshot);
  const std::string json = rendered(JsonRenderer(), info) + rendered(JsonRenderer(), snapshot);

  expect_harmless(text);
  expect_harmless(json);
  expect_golden("planted_info.txt", text);
  expect_golden("planted_info.json", json);
}

TEST(RendererGolden, PlantedTextIsHarmlessInPsAndDoctor) {
  ProcessRow planted;
  planted.pid = 4242;
  planted.user = kRed;
  planted.python = kC1;
  planted.rss = 1406529536;
  planted.age_seconds = 3 * 86400 + 4 * 3600;
  planted.threads = 18;
  planted.attach = "no: traced";
  planted.reason = kBidi;
  planted.container = kNotUtf8;
  planted.name = kLink;
  planted.command_line = kLines;
  ProcessRow plain = planted;
  plain.pid = 5110;
  plain.user = "etl";
  plain.python = "3.8.18";
  plain.attach = "ok";
  plain.container = "3f2a91c0d5b7e6a8";
  plain.command_line = kCsv;
  Diagnosis diagnosis;
  diagnosis.checks = {{Verdict::kOk, "kernel", "kernel 6.1", ""},
                      {Verdict::kBad, "tracer", std::string(kLink), std::string(kLines)},
                      {Verdict::kNote, "state", std::string(kNotUtf8), "unseen without --fix-hints"}};
  diagnosis.works = false;
  diagnosis.conclusion = kBidi;
  const Report list = make_process_list({planted, plain});
  const Report checks = make_diagnosis(diagnosis, false);

  const std::string text = rendered(TextRenderer({}), list) + rendered(TextRenderer({}), checks);
  const std::string json = rendered(JsonRenderer(), list) + rendered(JsonRenderer(), checks);
  const std::string csv = rendered(CsvRenderer(), list);

  for (const std::string& output : {text, json, csv}) expect_harmless(output);
  expect_golden("planted_processes.txt", text);
  expect_golden("planted_processes.json", json);
  expect_golden("planted_processes.csv", csv);
}

}  // namespace
}  // namespace memsnap
