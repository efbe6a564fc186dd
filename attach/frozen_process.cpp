#include "attach/frozen_process.h"

#include <fmt/format.h>

#include "attach/base/error.h"
#include "attach/copied_process.h"
#include "attach/forked_process.h"

namespace memsnap {
namespace {

// What FreezeFacts of another maker say, with the reason why the first one was not used.
class AfterFallback final : public FrozenProcess {
 public:
  AfterFallback(std::unique_ptr<FrozenProcess> made, std::string reason)
      : made_(std::move(made)), facts_(made_->facts()) {
    facts_.fallback_reason = std::move(reason);
  }
  const ProcessMemory& memory() const override { return made_->memory(); }
  const MemoryMap& map() const override { return made_->map(); }
  const FreezeFacts& facts() const override { return facts_; }
  std::vector<std::string> release() override { return made_->release(); }

 private:
  std::unique_ptr<FrozenProcess> made_;
  FreezeFacts facts_;
};

}  // namespace

std::unique_ptr<FrozenProcess> freeze(const ProcessId& target, const FreezeOptions& options, Log& log) {
  if (options.method == Method::kRead) return read_running(target);
  if (options.method == Method::kStop) return freeze_by_copy(target, options, log);
  bool fallback = false;
  try {
    return freeze_by_fork(target, options, log, &fallback);
  } catch (const Error& error) {
    if (!fallback || options.method == Method::kFreeze) throw;
    log.warning("method_fallback",
                fmt::format("{}; stopping {} while its memory is copied", error.what(), target.pid()));
    return std::make_unique<AfterFallback>(freeze_by_copy(target, options, log), error.what());
  }
}

}  // namespace memsnap
