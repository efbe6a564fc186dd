#include "attach/stopped_look.h"

#include <fmt/format.h>

#include "attach/base/error.h"
#include "attach/stopped_process.h"
#include "attach/tracer_thread.h"

namespace memsnap {
namespace {

using std::chrono::steady_clock;

FreezeFacts look_now(const ProcessId& target, const FreezeOptions& options, KeptMemory& memory,
                     const std::function<void(const std::vector<HeldThread>&)>& look) {
  FreezeFacts facts;
  facts.method = Method::kStop;
  StoppedProcess stopped(target, {.wait = options.wait, .longest = options.max_pause});
  memory.set_deadline(steady_clock::now() - stopped.stopped_for() + options.max_pause);
  facts.held = stopped.held();
  look(facts.held);
  facts.partial = memory.expired();
  facts.threads = static_cast<std::uint32_t>(stopped.stopped().size());
  facts.threads_not_stopped = stopped.not_stopped();
  facts.was_stopped = stopped.group_stopped();
  const std::vector<pid_t> changed = stopped.changed();
  stopped.release();  // stragglers too: the kernel lets them go when this thread ends
  facts.pause = stopped.stopped_for();
  if (changed.empty()) return facts;
  throw Error(ExitCode::kTargetHarmed,
              fmt::format("thread {} of {} is not as it was before the stop", changed.front(), target.pid()), "");
}

}  // namespace

FreezeFacts look_at_stopped(const ProcessId& target, const FreezeOptions& options, KeptMemory& memory,
                            const std::function<void(const std::vector<HeldThread>&)>& look) {
  return TracerThread().run([&] { return look_now(target, options, memory, look); });
}

}  // namespace memsnap
