#include "report/cli/retention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "attach/base/error.h"

namespace memsnap {
namespace {

using std::chrono::hours;

constexpr std::int64_t kHour = 3'600'000'000'000;
constexpr std::int64_t kNow = 1'000'000 * kHour;
using Indices = std::vector<std::size_t>;

StoredSnapshot file(pid_t pid, std::int64_t hours_ago, std::uint64_t bytes = 10, std::uint64_t rss = 0) {
  StoredSnapshot made;
  made.path = std::to_string(hours_ago);
  made.bytes = bytes;
  made.taken_at_ns = kNow - hours_ago * kHour;
  made.pid = pid;
  made.name = "shop";
  made.rss = rss;
  return made;
}

Indices gone(const std::vector<StoredSnapshot>& files, const Retention& retention, bool running = true) {
  return outdated(files, retention, kNow, [&](const StoredSnapshot&) { return running; });
}

TEST(Retention, WithoutRulesKeepsAll) { EXPECT_EQ(gone({file(1, 500), file(1, 1)}, {}), Indices{}); }

TEST(Retention, KeepsTheNewestOfEachProcess) {
  const std::vector<StoredSnapshot> files{file(1, 9), file(2, 8), file(1, 7), file(1, 6), file(2, 5)};
  EXPECT_EQ(gone(files, {.keep = 1}), (Indices{0, 1, 2}));
  EXPECT_EQ(gone(files, {.keep = 2}), (Indices{0}));
  EXPECT_EQ(gone(files, {.keep = 3}), Indices{});
}

TEST(Retention, CountsEndedProcessesOfOneNameAsOne) {
  std::vector<StoredSnapshot> files{file(1, 9), file(2, 8), file(3, 7), file(4, 6)};
  EXPECT_EQ(gone(files, {.keep = 1}, false), (Indices{0, 1, 2}));
  files[1].name = "other";
  EXPECT_EQ(gone(files, {.keep = 1}, false), (Indices{0, 2}));
}

TEST(Retention, KeepsNothingOlderButTheLast) {
  EXPECT_EQ(gone({file(1, 50), file(1, 25), file(1, 23)}, {.keep_for = hours(24)}), (Indices{0, 1}));
  EXPECT_EQ(gone({file(1, 50), file(1, 30)}, {.keep_for = hours(24)}), (Indices{0}));
}

TEST(Retention, OfFilesFromTheFutureKeepsThem) {
  EXPECT_EQ(gone({file(1, 1), file(1, -500)}, {.keep_for = hours(24)}), Indices{});
}

TEST(Retention, KeepsAllTogetherBelowATotal) {
  const std::vector<StoredSnapshot> files{file(1, 9, 10), file(2, 8, 50), file(3, 7, 10), file(4, 6, 30)};
  EXPECT_EQ(gone(files, {.max_total = 100}), Indices{});
  EXPECT_EQ(gone(files, {.max_total = 99}), (Indices{0}));
  EXPECT_EQ(gone(files, {.max_total = 89}), (Indices{0, 1}));
  EXPECT_EQ(gone(files, {.max_total = 40}), (Indices{0, 1}));
  EXPECT_EQ(gone(files, {.max_total = 39}), (Indices{0, 1, 2}));
  EXPECT_EQ(gone(files, {.max_total = 1}), (Indices{0, 1, 2}));
  EXPECT_EQ(gone({file(1, 9, ~0ull), file(1, 8, ~0ull), file(1, 7, 1)}, {.max_total = 5}), (Indices{0, 1}));
}

TEST(Retention, ThinsOutWhatIsOld) {
  std::vector<StoredSnapshot> files;
  for (std::int64_t quarter = 4 * 24 * 10; quarter >= 0; --quarter) {
    files.push_back(file(1, 0));
    files.back().taken_at_ns = kNow - quarter * kHour / 4;
  }
  files[100].rss = 1000;
  const Indices away = gone(files, {.thin = {{hours(1), hours(24)}, {hours(24), hours(24 * 5)}}});

  std::vector<bool> stays(files.size(), true);
  for (const std::size_t i : away) stays[i] = false;
  std::size_t days = 0, single_hours = 0, recent = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const std::int64_t age = (kNow - files[i].taken_at_ns) / kHour;
    if (!stays[i]) continue;
    if (age >= 24 * 5) {
      ++days;
    } else if (age >= 24) {
      ++single_hours;
    } else {
      ++recent;
    }
  }
  EXPECT_TRUE(stays.front() && stays.back() && stays[100]);
  EXPECT_NEAR(static_cast<double>(days), 6 + 1, 1);
  EXPECT_NEAR(static_cast<double>(single_hours), 4 * 24, 1);
  EXPECT_NEAR(static_cast<double>(recent), 24 * 4, 1);
}

TEST(Retention, ReadsThinning) {
  const auto rules = parse_thinning("1h:1d,1d:30d");
  ASSERT_EQ(rules.size(), 2u);
  EXPECT_EQ(rules[1].every, hours(24));
  EXPECT_EQ(rules[1].after, hours(24 * 30));
  for (const char* wrong : {"1h", "1h:", ":1d", "0s:1d", "x:y"}) EXPECT_THROW(parse_thinning(wrong), Error) << wrong;
}

// Whatever the rules: the last file stays, indices ascend, and a total is kept where more than one file stays.
TEST(Retention, OfAnyFilesIsSound) {
  std::mt19937 random(7);
  for (int round = 0; round < 500; ++round) {
    std::vector<StoredSnapshot> files;
    for (auto i = random() % 40; i > 0; --i)
      files.push_back(
          file(static_cast<pid_t>(1 + random() % 3), static_cast<std::int64_t>(random() % 200), random() % 50));
    std::sort(files.begin(), files.end(), [](const auto& a, const auto& b) { return a.taken_at_ns < b.taken_at_ns; });
    Retention retention;
    if (random() % 2 == 0) retention.keep = 1 + random() % 5;
    if (random() % 2 == 0) retention.keep_for = hours(random() % 100);
    if (random() % 2 == 0) retention.max_total = random() % 300;
    if (random() % 2 == 0) retention.thin = {{hours(2), hours(10)}};
    const Indices away = gone(files, retention);
    ASSERT_TRUE(std::is_sorted(away.begin(), away.end()));
    ASSERT_TRUE(away.empty() || away.back() + 1 < files.size());
    if (!retention.max_total) continue;
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < files.size(); ++i) {
      if (!std::binary_search(away.begin(), away.end(), i)) total += files[i].bytes;
    }
    ASSERT_TRUE(total <= *retention.max_total || away.size() + 1 == files.size());
  }
}

}  // namespace
}  // namespace memsnap
