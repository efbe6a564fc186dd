#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "tests/integration/tracked_target.h"

namespace memsnap {
namespace {

// Allocates in the main thread and in three others, and checks what it gets.
void hammer(TargetNotes& notes) {
  ::setenv("MALLOC_ARENA_MAX", "1", 1);
  const auto work = [&notes](std::size_t index) {
    std::vector<std::pair<unsigned char*, std::size_t>> blocks(64, {nullptr, 0});
    unsigned seed = static_cast<unsigned>(index) + 1;
    for (;;) {
      seed = seed * 1103515245 + 12345;
      auto& [block, size] = blocks[seed >> 8 & 63];
      if (block != nullptr && (block[0] != (size & 0xff) || block[size - 1] != (size & 0xff))) ++notes.words[0];
      std::free(block);
      size = 1 + (seed >> 4 & 1023);
      block = static_cast<unsigned char*>(std::malloc(size));
      block[0] = block[size - 1] = static_cast<unsigned char>(size & 0xff);
      ++notes.words[index];
    }
  };
  for (std::size_t i = 2; i < 5; ++i) std::thread(work, i).detach();
  notes.ready = 1;
  work(1);
}

TEST(InjectCycle, HammeredMallocIsHookedAndLetGo) {
  ForkedTarget target(hammer);
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  const std::string maps = read_whole("/proc/" + std::to_string(target.pid()) + "/maps");
  for (std::uint64_t cycle = 0; cycle < cycles_wanted(20); ++cycle) {
    TestLog log;
    const auto tracking = Tracking::start(id, test_setup(), log);
    ASSERT_GT(tracking->facts().patches, 0u);
    EXPECT_EQ(tracking->facts().tid_offset, 0x2d0u);
    ASSERT_TRUE(ForkedTarget::wait_until([&] { return counters(*tracking).allocations > 1000; })) << cycle;
    EXPECT_EQ(tracking->renew_lease(), Tracking::Health::kGood);

    const TrackingEnd end = tracking->stop();
    ASSERT_EQ(joined(end.left_behind), "") << cycle << "\n" << log.text();
    const auto before = target.word(1);
    ASSERT_TRUE(ForkedTarget::wait_until([&] { return target.word(1) > before + 100; })) << cycle;
    ASSERT_EQ(target.word(0), 0u);
    if (cycle == 0) {
      std::printf("start %.2f ms, stopped %.2f ms; stop: %.2f %.2f %.2f ms, %u proofs, %zu patches\n",
                  static_cast<double>(tracking->facts().took.count()) / 1e6,
                  static_cast<double>(tracking->facts().pause.count()) / 1e6,
                  static_cast<double>(end.unhook_pause.count()) / 1e6,
                  static_cast<double>(end.proof_pause.count()) / 1e6,
                  static_cast<double>(end.unmap_pause.count()) / 1e6, end.proofs, tracking->facts().patches);
    }
  }
  EXPECT_TRUE(find_agents(target.pid()).empty());
}

}  // namespace
}  // namespace memsnap
