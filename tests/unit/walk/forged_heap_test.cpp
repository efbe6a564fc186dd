#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <random>

#include "attach/base/error.h"
#include "snapshot/walk/heap_walker.h"
#include "snapshot/walk/plan.h"
#include "tests/unit/walk/forged_process.h"

namespace memsnap {
namespace {

#ifdef __SANITIZE_ADDRESS__
constexpr int kRounds = 150;
#else
constexpr int kRounds = 4000;
#endif
constexpr std::chrono::seconds kTime{6};             // of one release, when the machine is busy: fewer rounds
constexpr std::chrono::milliseconds kOneWalk{5000};  // none takes so long, however busy the machine is

// A target whose words were overwritten at random: the walk ends soon, its records are bounded by the memory there is,
// and nothing is read that is not there (the asan preset). MEMSNAP_FUZZ_SEED repeats a failure.
class ForgedHeapTest : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  static std::uint64_t seed() {
    const char* const chosen = std::getenv("MEMSNAP_FUZZ_SEED");
    return chosen != nullptr ? std::strtoull(chosen, nullptr, 10) : std::random_device{}();
  }
  std::uint64_t place() { return target.first + random() % (target.last - target.first) / 8 * 8; }
  std::uint64_t forged_word() {
    switch (random() % 12) {
      case 0:
        return 0;
      case 1:
        return ~0ull >> random() % 64;
      case 2:
        return 1ull << random() % 64;
      case 3:
        return random();
      case 4:
        return random() % 300;
      case 5:
        return (1ull << 31) - 1 + random() % 3;
      case 6:
        return place() | 1ull << (47 + random() % 17);
      case 7:
        return place() + random() % 8;
      case 8:
      case 9:
        return target.objects[random() % target.objects.size()];
      default:
        return place();
    }
  }
  std::optional<WalkResult> walk() {
    NullLog log;
    try {
      const WalkPlan plan = make_plan(target.memory(), target.map(), target.python, log);
      return walk_heap(target, plan, {}, log);
    } catch (const Error&) {
      return std::nullopt;  // a refusal
    }
  }

  ForgedProcess target{GetParam()};
  std::mt19937_64 random;
};

TEST_P(ForgedHeapTest, IsWalkedWholeWhenNothingIsForged) {
  const auto result = walk();

  ASSERT_TRUE(result);
  EXPECT_GT(result->objects, target.objects.size());
  EXPECT_EQ(result->unreadable, 0u);
}

TEST_P(ForgedHeapTest, AnyWordsMayBeForged) {
  const std::uint64_t chosen = seed();
  random.seed(chosen ^ GetParam());
  SCOPED_TRACE("MEMSNAP_FUZZ_SEED=" + std::to_string(chosen));
  const auto begin = std::chrono::steady_clock::now();
  int walked = 0;
  for (int round = 0; round < kRounds && std::chrono::steady_clock::now() - begin < kTime; ++round) {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> saved;
    for (std::uint64_t i = 0; i < 1 + random() % 24; ++i) {
      // Half of them in the objects' own words, where sizes and pointers are.
      const auto at =
          random() % 2 == 0 ? place() : target.objects[random() % target.objects.size()] + 8 * (random() % 12);
      saved.emplace_back(at, target.heap.read<std::uint64_t>(at));
      target.heap.put(at, forged_word());
    }
    const auto started = std::chrono::steady_clock::now();

    const auto result = walk();

    EXPECT_LT(std::chrono::steady_clock::now() - started, kOneWalk) << round;
    if (result) {
      ++walked;
      const std::uint64_t words = (target.last - FakeArena::kBegin) / 8;
      EXPECT_LE(result->objects, words);
      EXPECT_LE(result->graph.edge_target.size(), 4 * words) << round;
    }
    for (auto word = saved.rbegin(); word != saved.rend(); ++word) target.heap.put(word->first, word->second);
    if (HasFailure()) return;
  }
  EXPECT_GT(walked, 0);
}

INSTANTIATE_TEST_SUITE_P(Releases, ForgedHeapTest,
                         ::testing::Values(0x030812f0, 0x030912f0, 0x030a0df0, 0x030b07f0, 0x030c01f0, 0x030d00f0,
                                           0x030e0af0, 0x030f02f0));

}  // namespace
}  // namespace memsnap
