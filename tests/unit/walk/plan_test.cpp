#include "snapshot/walk/plan.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "attach/base/error.h"
#include "tests/unit/walk/forged_process.h"

namespace memsnap {
namespace {

class PlanTest : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  WalkPlan plan() { return make_plan(target.memory(), target.map(), target.python, log); }
  std::vector<std::string> module_names() {
    std::vector<std::string> names;
    for (const PlannedRoot& root : plan().roots) {
      if (root.kind == RootKind::kModule) names.push_back(root.name);
    }
    return names;
  }

  ForgedProcess target{GetParam()};
  const HeapLayout& at = target.heap.layout;
  NullLog log;
};

TEST_P(PlanTest, BeginsAtModulesThreadsAndLists) {
  const WalkPlan made = plan();

  EXPECT_EQ(module_names(), (std::vector<std::string>{"sys", "threading", "shop"}));
  EXPECT_EQ(made.gc_heads, target.heads);
  EXPECT_EQ(made.permanent_index, 3u);
  ASSERT_EQ(made.threads.size(), 1u);
  EXPECT_EQ(made.threads[0].frames, std::vector<std::uint64_t>{target.frame});
  EXPECT_FALSE(made.during_collection);
}

TEST_P(PlanTest, WildModulesAreNoRoots) {
  for (const std::uint64_t wild :
       {std::uint64_t{0}, std::uint64_t{8}, ~std::uint64_t{7}, target.heap.list, target.modules + 8, target.thread}) {
    target.heap.put(target.interpreter + at.interpreter.modules, wild);
    EXPECT_TRUE(module_names().empty()) << std::hex << wild;
  }
}

TEST_P(PlanTest, SysModulesMayHoldItself) {
  const auto keys = target.heap.read<std::uint64_t>(target.modules + at.dict.ma_keys);
  const auto entry = keys + at.dict.keys_header + 8 + (at.dict.keys_form == 0 ? 8 : 0);
  target.heap.put(entry, target.modules);
  target.heap.put(entry + 8, target.modules);

  EXPECT_EQ(module_names(), (std::vector<std::string>{"?", "threading", "shop"}));
}

TEST_P(PlanTest, AThreadMayBeItsOwnSuccessorAndAFrameItsOwnCaller) {
  target.heap.put(target.thread + at.thread.next, target.thread);
  target.heap.put(target.frame + (at.frame.size == 0 ? at.frame_object.f_back : at.frame.previous), target.frame);

  const WalkPlan made = plan();

  ASSERT_EQ(made.threads.size(), 1u);
  EXPECT_LE(made.threads[0].frames.size(), 200u);
}

TEST_P(PlanTest, ARingOfExceptionsEnds) {
  ASSERT_NE(at.thread.exc_info, 0);
  const auto item = target.heap.allocate(128);
  target.heap.put(target.thread + at.thread.exc_info, item);
  target.heap.put(item + at.thread.exc_item_value, target.objects[0]);
  target.heap.put(item + at.thread.exc_item_previous, item);

  const WalkPlan made = plan();
  const auto& objects = made.threads.at(0).objects;
  EXPECT_GE(std::count(objects.begin(), objects.end(), target.objects[0]), 1);
  EXPECT_LE(objects.size(), 400u);
}

TEST_P(PlanTest, ListsThatAreNoRingsAreARefusal) {
  target.heap.put(target.heads[1], std::uint64_t{0xdead0000});

  try {
    plan();
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUnsupported);
  }
}

TEST_P(PlanTest, AbsurdCountsInTheThreadTableCostNothing) {
  for (const auto object : target.objects) {
    if (target.heap.read<std::uint64_t>(object + at.object.ob_type) != target.heap.dict) continue;
    const auto keys = target.heap.read<std::uint64_t>(object + at.dict.ma_keys);
    target.heap.put(keys + at.dict.dk_nentries, std::uint64_t{1} << 62);
  }
  EXPECT_TRUE(module_names().empty());
  EXPECT_EQ(plan().threads.size(), 1u);
}

INSTANTIATE_TEST_SUITE_P(Releases, PlanTest,
                         ::testing::Values(0x030812f0, 0x030912f0, 0x030a0df0, 0x030b07f0, 0x030c01f0, 0x030d00f0,
                                           0x030e0af0, 0x030f02f0));

}  // namespace
}  // namespace memsnap
