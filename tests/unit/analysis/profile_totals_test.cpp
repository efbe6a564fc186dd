#include "snapshot/analysis/profile_totals.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "tests/unit/model/fake_profile.h"

namespace memsnap {
namespace {

const ProfileEntry* find(const std::vector<ProfileEntry>& entries, std::string_view function) {
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&](const ProfileEntry& entry) { return entry.function == function; });
  return found == entries.end() ? nullptr : &*found;
}

TEST(ProfileTotals, AFunctionCountsOncePerStack) {
  FakeProfile made;
  const FrameIndex walk = made.frame("walk", "tree.py", 7, 5);
  const FrameIndex other = made.frame("walk", "tree.py", 9, 5);
  const FrameIndex leaf = made.frame("leaf", "tree.py", 2, 1);
  made.row(made.stack({walk, other, walk, leaf}), {3, 300});
  made.row(made.stack({walk, walk}), {1, 50});
  const AllocationProfile& profile = made.profile;

  const auto entries = profile_totals(profile, profile.allocated, ProfileBy::kFunction, false);

  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(find(entries, "walk")->total, (BlockTotals{4, 350}));
  EXPECT_EQ(find(entries, "walk")->own, (BlockTotals{1, 50}));
  EXPECT_EQ(find(entries, "walk")->line, 7u);
  EXPECT_EQ(find(entries, "leaf")->total, (BlockTotals{3, 300}));
  const auto lines = profile_totals(profile, profile.allocated, ProfileBy::kLine, false);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[1].line, 9u);
  EXPECT_EQ(lines[1].total, (BlockTotals{3, 300}));
}

TEST(ProfileTotals, FunctionsOfOneNameInOneFileAreTwoWhenTheyBeginApart) {
  FakeProfile made;
  made.row(made.stack({made.frame("<lambda>", "a.py", 3, 3)}), {1, 10});
  made.row(made.stack({made.frame("<lambda>", "a.py", 8, 8)}), {1, 20});

  EXPECT_EQ(profile_totals(made.profile, made.profile.allocated, ProfileBy::kFunction, false).size(), 2u);
  EXPECT_EQ(profile_totals(made.profile, made.profile.allocated, ProfileBy::kFile, false).size(), 1u);
}

TEST(ProfileTotals, OtherMeasuresAndGroupings) {
  FakeProfile made;
  const std::uint32_t worker = made.thread(7, "worker");
  const FrameIndex frame = made.frame("f", "/srv/shop/cart.py", 1);
  made.row(made.stack({frame}), {10, 1000}, {2, 150}, {5, 500}, 4, worker, 1);
  made.row(0, {1, 8}, {1, 8});
  const AllocationProfile& profile = made.profile;

  const auto temporary = column_of(profile, ProfileMeasure::kTemporary);
  EXPECT_EQ(temporary[0], (BlockTotals{4, 400}));
  EXPECT_EQ(column_of(profile, ProfileMeasure::kPeak)[0].bytes, 500u);
  const auto live = profile_totals(profile, column_of(profile, ProfileMeasure::kLive), ProfileBy::kFunction, false);
  ASSERT_EQ(live.size(), 2u);
  EXPECT_EQ(find(live, kNoStack)->own.bytes, 8u);
  const auto threads = profile_totals(profile, profile.allocated, ProfileBy::kThread, false);
  EXPECT_EQ(find(threads, "worker")->tid, 7u);
  EXPECT_EQ(find(threads, "worker")->total.bytes, 1000u);
  EXPECT_EQ(find(profile_totals(profile, profile.allocated, ProfileBy::kAllocator, false), "calloc")->own.count, 10u);
  EXPECT_EQ(find(profile_totals(profile, profile.allocated, ProfileBy::kModule, false), "cart")->own.count, 10u);
}

TEST(ProfileTotals, HiddenImportsGiveTheirBytesToTheCaller) {
  FakeProfile made;
  const FrameIndex main = made.frame("main", "app.py", 1);
  const FrameIndex find_spec = made.frame("_find_spec", "<frozen importlib._bootstrap>", 1);
  const FrameIndex load = made.frame("load", "/usr/lib/python3.8/importlib/_bootstrap_external.py", 1);
  const FrameIndex module = made.frame("<module>", "json/__init__.py", 1);
  made.row(made.stack({main, find_spec, load}), {1, 100});
  made.row(made.stack({main, find_spec, load, module}), {1, 10});
  const AllocationProfile& profile = made.profile;

  const auto entries = profile_totals(profile, profile.allocated, ProfileBy::kFunction, true);

  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(find(entries, "main")->own, (BlockTotals{1, 100}));
  EXPECT_EQ(find(entries, "main")->total, (BlockTotals{2, 110}));
  const CallSums sums = sum_calls(profile, profile.allocated, true);
  EXPECT_EQ(sums.parent[4], 1u);
  EXPECT_TRUE(sums.hidden[2] && sums.hidden[3]);
}

TEST(ProfileTotals, OwnBytesOfAllAddUpToAll) {
  for (std::uint32_t seed = 0; seed < 50; ++seed) {
    const AllocationProfile profile = random_profile(seed, 100);
    const BlockTotals all = sum_of(profile.live);
    for (const ProfileBy by : {ProfileBy::kFunction, ProfileBy::kLine, ProfileBy::kFile, ProfileBy::kModule,
                               ProfileBy::kThread, ProfileBy::kAllocator}) {
      BlockTotals own;
      for (const ProfileEntry& entry : profile_totals(profile, profile.live, by, seed % 2 == 0)) {
        own.count += entry.own.count;
        own.bytes += entry.own.bytes;
      }
      ASSERT_EQ(own, all);
    }
  }
}

TEST(ProfileTotals, ADeepStackIsNoRecursion) {
  FakeProfile made;
  const FrameIndex frame = made.frame("f", "a.py", 1);
  AllocationProfile& profile = made.profile;
  for (CallIndex i = 0; i < 1'000'000; ++i) {
    profile.call_parent.push_back(i);
    profile.call_frame.push_back(frame);
  }
  made.row(1'000'000, {1, 5});

  const auto entries = profile_totals(profile, profile.allocated, ProfileBy::kFunction, false);

  EXPECT_EQ(entries.at(0).total, (BlockTotals{1, 5}));
}

TEST(ProfileTotals, FilesHaveModulesAndShortNames) {
  struct Case {
    const char* file;
    const char* module;
    const char* brief;
  };
  for (const Case& one :
       {Case{"/usr/lib/python3.11/json/decoder.py", "json.decoder", "json/decoder.py"},
        Case{"/opt/lib/python3.12/site-packages/flask/__init__.py", "flask", "flask/__init__.py"},
        Case{"/usr/lib/python3/dist-packages/apt/cache.py", "apt.cache", "apt/cache.py"},
        Case{"<frozen importlib._bootstrap>", "importlib._bootstrap", "<frozen importlib._bootstrap>"},
        Case{"/srv/app/shop/cart.py", "cart", "shop/cart.py"},
        Case{"/srv/app/shop/__init__.py", "shop", "shop/__init__.py"}, Case{"app.py", "app", "app.py"},
        Case{"/a.py", "a", "/a.py"}, Case{"<string>", "<string>", "<string>"}, Case{"", "", ""},
        Case{"/lib/python3", "python3", "lib/python3"}, Case{"/", "", "/"}}) {
    EXPECT_EQ(module_of_file(one.file), one.module) << one.file;
    EXPECT_EQ(short_path(one.file), one.brief) << one.file;
  }
}

}  // namespace
}  // namespace memsnap
