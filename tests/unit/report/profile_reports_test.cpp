#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "report/live_report.h"
#include "report/profile_diff_report.h"
#include "report/profile_stats_report.h"
#include "report/profile_summary_report.h"
#include "report/profile_table_report.h"
#include "report/profile_tree_report.h"
#include "report/text_layout.h"
#include "tests/unit/model/fake_profile.h"
#include "tests/unit/report/golden.h"
#include "tests/unit/report/planted.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;

// A program that fills a cache in a worker, reads a file, and imports.
Snapshot shop_capture() {
  FakeProfile made;
  const std::uint32_t main_thread = made.thread(4242, "MainThread");
  const std::uint32_t worker = made.thread(4251, "worker-3");
  const FrameIndex module = made.frame("<module>", "/srv/shop/app.py", 26);
  const FrameIndex main = made.frame("main", "/srv/shop/app.py", 20, 18);
  const FrameIndex later = made.frame("main", "/srv/shop/app.py", 24, 18);
  const FrameIndex big = made.frame("big", "/srv/shop/app.py", 12, 11);
  const FrameIndex fill = made.frame("fill", "/srv/shop/app.py", 10, 8);
  const FrameIndex session = made.frame("Session.__init__", "/srv/shop/cart.py", 4, 3);
  const FrameIndex load = made.frame("_find_and_load", "<frozen importlib._bootstrap>", 1176, 1165);
  const FrameIndex decoder = made.frame("<module>", "/usr/lib/python3.11/json/decoder.py", 3, 1);
  made.row(made.stack({module, main, big}), {2, 20 * kMiB}, {1, 10 * kMiB}, {2, 20 * kMiB}, 0, main_thread, 2);
  made.row(made.stack({module, main, fill}), {8002, kMiB}, {2, 4096}, {4000, kMiB / 2}, 6000, worker);
  made.row(made.stack({module, main, fill, session}), {343'643, 18'600'000}, {343'000, 18'500'000},
           {343'643, 18'600'000}, 10, worker);
  made.row(made.stack({module, later}), {20'000, 21'000'000}, {}, {20'000, 21'000'000}, 0, main_thread, 1);
  made.row(made.stack({module, main, load, decoder}), {900, 120'000}, {800, 100'000}, {900, 120'000}, 3, main_thread);
  made.row(0, {3, 3000}, {3, 3000});
  made.slice(150, 400 * kMiB,
             {{0, 2, 20 * kMiB, 2, 20 * kMiB}, {3, 20'000, 21'000'000, 20'000, 21'000'000}, {5, 3, 3000, 3, 3000}});
  made.slice(150, 420 * kMiB,
             {{0, 0, 0, -1, -10 * static_cast<std::int64_t>(kMiB)},
              {1, 8002, kMiB, 2, 4096},
              {2, 343'643, 18'600'000, 343'000, 18'500'000},
              {3, 0, 0, -20'000, -21'000'000},
              {4, 900, 120'000, 800, 100'000}});
  AllocationProfile& profile = made.profile;
  profile.peak_ns = profile.slices[0].end_ns;
  profile.peak_rss = profile.slices[0].rss;
  profile.frees = 28'745;
  profile.sizes[1] = 6;
  profile.sizes[6] = 343'643;
  profile.sizes[7] = 8902;
  profile.sizes[11] = 20'003;
  profile.sizes[24] = 2;
  Snapshot snapshot = shop_snapshot();
  snapshot.header.kind = SnapshotKind::kAllocations;
  snapshot.profile = std::move(profile);
  return snapshot;
}

Snapshot planted_capture() {
  FakeProfile made;
  std::uint32_t line = 1;
  std::vector<FrameIndex> frames;
  for (const std::string_view text : {kRed, kLink, kBidi, kLines, kNotUtf8, kC1, kCsv}) {
    const std::uint32_t thread = made.thread(line, text);
    frames.push_back(made.frame(text, text, line, line));
    made.row(made.stack(frames), {line, 1000u * line}, {1, 100u * line}, {line, 900u * line}, 0, thread, 1);
    ++line;
  }
  made.slice(60, 0, {{0, 1, 1000, 1, 100}});
  made.profile.period = 1u << 19;
  made.profile.losses = {1, 2, 3, 4, 5};
  Snapshot snapshot = planted_snapshot();
  snapshot.profile = std::move(made.profile);
  return snapshot;
}

void expect_goldens(const std::string& name, const Report& report) {
  const std::string text = rendered(TextRenderer({}), report);
  expect_harmless(text);
  expect_golden(name + ".txt", text);
  const std::string json = rendered(JsonRenderer(), report);
  expect_harmless(json);
  expect_golden(name + ".json", json);
  const std::string csv = rendered(CsvRenderer(), report);
  expect_harmless(csv);
  expect_golden(name + ".csv", csv);
}

TEST(ProfileReports, SummaryByEverything) {
  const Snapshot capture = shop_capture();

  expect_goldens("capture_functions", make_profile_summary(capture, {}));
  expect_goldens(
      "capture_lines_leaks",
      make_profile_summary(
          capture, {.by = ProfileBy::kLine, .measure = ProfileMeasure::kLive, .sort = ProfileSort::kOwn, .rows = 3}));
  expect_goldens("capture_threads", make_profile_summary(capture, {.by = ProfileBy::kThread}));
  const auto text = [&](const ProfileSummaryOptions& options) {
    return rendered(TextRenderer({}), make_profile_summary(capture, options));
  };
  expect_golden("capture_files_peak.txt", text({.by = ProfileBy::kFile, .measure = ProfileMeasure::kPeak}));
  expect_golden("capture_modules_temporary.txt",
                text({.by = ProfileBy::kModule, .measure = ProfileMeasure::kTemporary, .sort = ProfileSort::kCount}));
  expect_golden("capture_allocators.txt", text({.by = ProfileBy::kAllocator, .min_percent = 33}));
}

TEST(ProfileReports, TreeBothWays) {
  const Snapshot capture = shop_capture();

  expect_goldens("capture_tree", make_profile_tree(capture, {}));
  expect_goldens("capture_tree_inverted", make_profile_tree(capture, {.inverted = true}));
  expect_golden("capture_tree_all.txt",
                rendered(TextRenderer({.ascii = true}),
                         make_profile_tree(capture, {.measure = ProfileMeasure::kLive,
                                                     .all_frames = true,
                                                     .limits = {.depth = 4, .min_percent = 0, .max_children = 1}})));
}

TEST(ProfileReports, TableGroupedAndSorted) {
  const Snapshot capture = shop_capture();

  expect_goldens("capture_table", make_profile_table(capture, {.rows = 4}));
  ProfileTableOptions options;
  options.columns = {TableColumn::kThread, TableColumn::kCount,     TableColumn::kSize,
                     TableColumn::kLive,   TableColumn::kTemporary, TableColumn::kPeak};
  options.sort = TableColumn::kThread;
  options.group_by = TableColumn::kThread;
  expect_goldens("capture_table_threads", make_profile_table(capture, options));
}

TEST(ProfileReports, Stats) { expect_goldens("capture_stats", make_profile_stats(shop_capture(), 3)); }

TEST(ProfileReports, BarsInAscii) {
  const std::string text = rendered(TextRenderer({.ascii = true}), make_profile_stats(shop_capture(), 0));

  EXPECT_NE(text.find(" ####################\n"), std::string::npos);
  EXPECT_EQ(bar_text(0, false), "");
  EXPECT_EQ(bar_text(1, false).size(), kBarWidth * 3);
  EXPECT_EQ(bar_text(5, true).size(), kBarWidth);
}

TEST(ProfileReports, Diff) {
  const Snapshot before = shop_capture();
  Snapshot after = shop_capture();
  AllocationProfile& profile = *after.profile;
  profile.allocated[2] = {400'000, 30'000'000};
  profile.allocated[3] = {};
  for (ProfileFrame& frame : profile.frames) ++frame.first_line;
  const auto changes = diff_profiles(*before.profile, profile, ProfileMeasure::kAllocated, ProfileBy::kFunction);

  expect_goldens("capture_diff",
                 make_profile_diff({before, after, ProfileBy::kFunction, {}, changes}, DiffSort::kDelta, 25, 0));

  const auto same = diff_profiles(profile, profile, ProfileMeasure::kLive, ProfileBy::kLine);
  const std::string text = rendered(
      TextRenderer({}), make_profile_diff({after, after, ProfileBy::kLine, ProfileMeasure::kLive, same}, {}, 25, 0));
  EXPECT_NE(text.find(" nothing changed"), std::string::npos);
}

TEST(ProfileReports, Live) {
  expect_goldens("capture_live", make_live(shop_capture(), {}));
  Snapshot fresh = shop_capture();
  fresh.profile->slices.clear();
  fresh.profile->changes.clear();
  EXPECT_FALSE(rendered(JsonRenderer(), make_live(fresh, {})).empty());
}

TEST(ProfileReports, AreHarmlessInEveryForm) {
  const Snapshot capture = planted_capture();

  expect_goldens("planted_capture_functions", make_profile_summary(capture, {}));
  expect_goldens("planted_capture_threads", make_profile_summary(capture, {.by = ProfileBy::kThread}));
  expect_goldens("planted_capture_tree", make_profile_tree(capture, {.limits = {.depth = 0, .min_percent = 0}}));
  expect_goldens("planted_capture_table", make_profile_table(capture, {}));
  expect_goldens("planted_capture_stats", make_profile_stats(capture, 10));
  expect_goldens("planted_capture_live", make_live(capture, {}));
  Snapshot nothing = planted_capture();
  nothing.profile->allocated.assign(nothing.profile->row_count(), {});
  expect_goldens("planted_capture_diff",
                 make_profile_diff({nothing, capture, ProfileBy::kFunction, ProfileMeasure::kAllocated,
                                    diff_profiles(*nothing.profile, *capture.profile, ProfileMeasure::kAllocated,
                                                  ProfileBy::kFunction)},
                                   DiffSort::kName, 25, 0));
}

TEST(ProfileReports, AnyProfileGivesReports) {
  for (std::uint32_t seed = 0; seed < 100; ++seed) {
    Snapshot snapshot = planted_snapshot();
    snapshot.profile = random_profile(seed, seed);
    for (const ProfileMeasure measure :
         {ProfileMeasure::kAllocated, ProfileMeasure::kLive, ProfileMeasure::kPeak, ProfileMeasure::kTemporary}) {
      const TextRenderer text({});
      rendered(text, make_profile_summary(snapshot, {.by = static_cast<ProfileBy>(seed % 6), .measure = measure}));
      rendered(text, make_profile_tree(snapshot, {.measure = measure, .inverted = seed % 2 == 0}));
      rendered(text, make_profile_table(snapshot, {.measure = measure}));
    }
    rendered(TextRenderer({}), make_profile_stats(snapshot, 5));
    rendered(TextRenderer({}), make_live(snapshot, {}));
  }
}

TEST(ProfileReports, ADeepTreeEndsSomewhere) {
  FakeProfile made;
  const FrameIndex frame = made.frame("f", "a.py", 1);
  for (CallIndex i = 0; i < 100'000; ++i) {
    made.profile.call_parent.push_back(i);
    made.profile.call_frame.push_back(frame);
  }
  made.row(100'000, {1, 5});
  Snapshot snapshot = planted_snapshot();
  snapshot.profile = std::move(made.profile);

  for (const bool inverted : {false, true}) {
    const Report report = make_profile_tree(snapshot, {.inverted = inverted});
    const TreeNode* node = &report.tree->roots.front();
    while (!node->children.empty()) node = &node->children.front();
    EXPECT_EQ(node->hidden_count, 1u);
    EXPECT_FALSE(rendered(JsonRenderer(), report).empty());
  }
}

TEST(ProfileReports, ObjectsByWhereTheyWereAllocated) {
  Snapshot snapshot = shop_capture();
  HeapGraph graph;
  graph.types = {{.name = graph.strings.add("builtins.dict")}};
  for (NodeIndex node = 0; node < 10; ++node) {
    graph.address.push_back(4096 + 64 * node);
    graph.type.push_back(0);
    graph.size.push_back(100);
    graph.flags.push_back(node == 9 ? kNodeSynthetic : 0);
    graph.site.push_back(node < 5 ? 3 : node < 7 ? 1 : 0);
  }
  snapshot.graph = std::move(graph);
  snapshot.header.kind = SnapshotKind::kHeap;

  expect_goldens("capture_sites", make_site_summary(snapshot, {.by = ProfileBy::kLine, .sort = ProfileSort::kOwn}));
}

}  // namespace
}  // namespace memsnap
