#include "snapshot/model/allocation_profile.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "tests/unit/model/fake_profile.h"

namespace memsnap {
namespace {

TEST(AllocationProfile, KnowsWhenItsColumnsDoNotFit) {
  const auto with = [](const std::function<void(AllocationProfile&)>& change) {
    AllocationProfile profile = random_profile(7, 20);
    change(profile);
    return is_consistent(profile);
  };
  EXPECT_TRUE(with([](AllocationProfile&) {}));
  EXPECT_FALSE(with([](AllocationProfile& p) { p.period = 0; }));
  EXPECT_FALSE(with([](AllocationProfile& p) { p.call_parent[3] = 3; }));
  EXPECT_FALSE(with([](AllocationProfile& p) { p.call_frame[3] = kNoFrame; }));
  EXPECT_FALSE(with([](AllocationProfile& p) { p.call_frame[0] = 0; }));
  EXPECT_FALSE(with([](AllocationProfile& p) { p.row_call[3] = static_cast<CallIndex>(p.call_count()); }));
  EXPECT_FALSE(with([](AllocationProfile& p) { p.row_thread[3] = 99; }));
  EXPECT_FALSE(with([](AllocationProfile& p) { p.row_allocator[3] = 3; }));
  EXPECT_FALSE(with([](AllocationProfile& p) { p.peak.pop_back(); }));
  EXPECT_FALSE(with([](AllocationProfile& p) { p.changes.front().row = 20; }));
  EXPECT_FALSE(with([](AllocationProfile& p) { p.changes.pop_back(); }));
  EXPECT_FALSE(with([](AllocationProfile& p) { p.slices.front().change_begin = 1; }));
  EXPECT_FALSE(with([](AllocationProfile& p) { p.frames[0].file = 100'000; }));
  EXPECT_FALSE(with([](AllocationProfile& p) { p.threads[0].name = 100'000; }));
  EXPECT_FALSE(with([](AllocationProfile& p) { p.call_parent.clear(), p.call_frame.clear(); }));
}

TEST(AllocationProfile, TheErrorOfSamplesIsThatOfCountingThem) {
  FakeProfile made;
  made.row(made.stack({made.frame("f", "a.py", 1)}), {1'000'000, 100'000'000});
  EXPECT_EQ(allocated_error(made.profile), 0);

  made.profile.period = 1u << 20;
  made.profile.samples[0] = 100;

  // A hundred samples of few among many: a tenth, nearly twice.
  EXPECT_NEAR(allocated_error(made.profile), 1.96 * 10'000'000, 10'000);
  made.profile.samples[0] = 1'000'000;
  EXPECT_EQ(allocated_error(made.profile), 0);
}

}  // namespace
}  // namespace memsnap
