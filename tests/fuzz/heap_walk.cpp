#include <array>
#include <memory>
#include <utility>
#include <vector>

#include "attach/base/error.h"
#include "attach/base/log.h"
#include "snapshot/walk/heap_walker.h"
#include "snapshot/walk/plan.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/walk/forged_process.h"

namespace memsnap {
namespace {

constexpr std::array<std::uint32_t, 8> kReleases{0x030812f0, 0x030912f0, 0x030a0df0, 0x030b07f0,
                                                 0x030c01f0, 0x030d00f0, 0x030e0af0, 0x030f02f0};

ForgedProcess& process_of(std::size_t release) {
  static std::array<std::unique_ptr<ForgedProcess>, kReleases.size()> made;
  auto& process = made.at(release);
  if (!process) process = std::make_unique<ForgedProcess>(kReleases.at(release));
  return *process;
}

// A word that leads into the heap when it is asked to, so that not each of them must be found by chance.
std::uint64_t forged_word(FuzzInput& input, const ForgedProcess& target) {
  const auto kind = input.take<std::uint8_t>();
  const auto value = input.take<std::uint64_t>();
  switch (kind % 4) {
    case 0:
      return target.objects[value % target.objects.size()];
    case 1:
      return FakeArena::kBegin + value % (target.last - FakeArena::kBegin);
    case 2:
      return 1ull << value % 64;
    default:
      return value;
  }
}

void walk(ForgedProcess& target) {
  NullLog log;
  try {
    const WalkPlan plan = make_plan(target.memory(), target.map(), target.python, log);
    const WalkResult result = walk_heap(target, plan, {}, log);
    const std::uint64_t words = (target.last - FakeArena::kBegin) / 8;
    require(result.objects <= words && result.graph.edge_target.size() <= 4 * words);
  } catch (const Error&) {
    return;  // a refusal
  }
}

}  // namespace
}  // namespace memsnap

// A heap in which words were overwritten: release, then place, kind and value of each word. The walk ends, and finds no
// more than there is memory for.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  memsnap::FuzzInput input(data, size);
  memsnap::ForgedProcess& target = memsnap::process_of(input.take<std::uint8_t>() % memsnap::kReleases.size());
  std::vector<std::pair<std::uint64_t, std::uint64_t>> saved;
  while (!input.empty() && saved.size() < 64) {
    const std::uint64_t words = (target.last - memsnap::FakeArena::kBegin) / 8;
    const std::uint64_t at = memsnap::FakeArena::kBegin + input.take<std::uint16_t>() % words * 8;
    saved.emplace_back(at, target.heap.read<std::uint64_t>(at));
    target.heap.put(at, memsnap::forged_word(input, target));
  }
  memsnap::walk(target);
  for (auto word = saved.rbegin(); word != saved.rend(); ++word) target.heap.put(word->first, word->second);
  return 0;
}
