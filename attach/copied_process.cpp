#include "attach/copied_process.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/child_memory.h"
#include "attach/memory_guard.h"
#include "attach/memory_image.h"
#include "attach/stopped_process.h"
#include "attach/tracer_thread.h"

namespace memsnap {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kCacheBytes = 256u << 20;

// Memory that is no longer the process's own: a copy of it, or the process itself, running.
class LooseProcess final : public FrozenProcess {
 public:
  LooseProcess(MemoryMap map, std::unique_ptr<ProcessMemory> memory, FreezeFacts facts)
      : map_(std::move(map)),
        source_(std::move(memory)),
        memory_(*source_, map_, kCacheBytes),
        facts_(std::move(facts)) {}
  const ProcessMemory& memory() const override { return memory_; }
  const MemoryMap& map() const override { return map_; }
  const FreezeFacts& facts() const override { return facts_; }
  std::vector<std::string> release() override { return {}; }

 private:
  MemoryMap map_;
  std::unique_ptr<ProcessMemory> source_;
  CachedMemory memory_;
  FreezeFacts facts_;
};

// What holds the heap: private and writable. Small mappings first: interpreter, types and arenas before large buffers.
std::vector<Mapping> worth_copying(const MemoryMap& map) {
  std::vector<Mapping> wanted;
  std::copy_if(map.mappings().begin(), map.mappings().end(), std::back_inserter(wanted), [](const Mapping& mapping) {
    return mapping.readable && mapping.writable && !mapping.shared && !is_device(mapping);
  });
  std::stable_sort(wanted.begin(), wanted.end(),
                   [](const Mapping& a, const Mapping& b) { return a.size() < b.size(); });
  return wanted;
}

// The map at the stop; the copy is in `image`.
MemoryMap copy_stopped(const ProcessId& target, const FreezeOptions& options, MemoryImage& image, FreezeFacts& facts) {
  StoppedProcess stopped(target, {.wait = options.wait, .longest = options.max_pause});
  const auto deadline = steady_clock::now() - stopped.stopped_for() + options.max_pause;
  MemoryMap map = MemoryMap::of(target.pid());
  for (const Mapping& mapping : worth_copying(map)) facts.partial = !image.take(mapping, deadline) || facts.partial;
  facts.threads = static_cast<std::uint32_t>(stopped.stopped().size());
  facts.threads_not_stopped = stopped.not_stopped();
  facts.held = stopped.held();
  facts.was_stopped = stopped.group_stopped();
  const std::vector<pid_t> changed = stopped.changed();
  stopped.release();  // stragglers too: the kernel lets them go when this thread ends
  facts.pause = stopped.stopped_for();
  if (changed.empty()) return map;
  throw Error(ExitCode::kTargetHarmed,
              fmt::format("thread {} of {} is not as it was before the stop", changed.front(), target.pid()), "");
}

}  // namespace

std::unique_ptr<FrozenProcess> freeze_by_copy(const ProcessId& target, const FreezeOptions& options, Log& log) {
  require_room_for_copy(target.pid());
  const MemoryMap before = MemoryMap::of(target.pid());
  auto image = std::make_unique<MemoryImage>(target.pid(), before);
  for (const Mapping& mapping : worth_copying(before)) image->prepare(mapping);
  FreezeFacts facts;
  facts.method = Method::kStop;
  MemoryMap map = TracerThread().run([&] { return copy_stopped(target, options, *image, facts); });
  image->finish();
  if (facts.partial) log.warning("partial", "the copy did not fit --max-pause: the snapshot is partial");
  return std::make_unique<LooseProcess>(std::move(map), std::move(image), std::move(facts));
}

std::unique_ptr<FrozenProcess> read_running(const ProcessId& target) {
  FreezeFacts facts;
  facts.method = Method::kRead;
  facts.consistent = false;
  facts.threads = static_cast<std::uint32_t>(thread_ids(target.pid()).size());
  MemoryMap map = MemoryMap::of(target.pid());
  auto memory = std::make_unique<ChildMemory>(target.pid(), map);
  return std::make_unique<LooseProcess>(std::move(map), std::move(memory), std::move(facts));
}

}  // namespace memsnap
