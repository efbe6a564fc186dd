#include "inject/control/unload.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "attach/base/error.h"
#include "attach/forked_process.h"
#include "attach/stopped_process.h"
#include "attach/tracer_thread.h"
#include "inject/control/patches.h"
#include "inject/control/reference_scan.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;

// A word that an ended call left on a stack in use goes when the thread calls something else.
constexpr std::array<milliseconds, 9> kPauses = {milliseconds(0),   milliseconds(2),   milliseconds(10),
                                                 milliseconds(40),  milliseconds(100), milliseconds(200),
                                                 milliseconds(400), milliseconds(800), milliseconds(1600)};

class Unloader {
 public:
  Unloader(const AgentToUnload& agent, const StopLimits& limits, Log& log)
      : agent_(agent), limits_(limits), log_(log) {}

  TrackingEnd run() {
    if (!unhook()) return std::move(end_);
    const auto image = AgentImage::read(agent_.memory, agent_.place.image_begin);
    if (!image) {
      if (is_mapped(agent_.place)) end_.left_behind.push_back(describe("it is damaged"));
    } else if (const auto references = prove(*image); references.reasons.empty()) {
      take_away(agent_.place, agent_.has_tables);
      verify();
    } else {
      for (const std::string& reason : references.reasons) end_.left_behind.push_back(describe(reason));
      // Off, hooks look at nothing but the image: only a thread that is inside still needs the tables.
      if (!references.passing && agent_.has_tables)
        take_away({.shared_begin = agent_.place.shared_begin, .shared_end = agent_.place.shared_end}, true);
    }
    if (!end_.left_behind.empty()) agent_.target.require_memory();  // else it all went with the process
    return std::move(end_);
  }

 private:
  std::string describe(const std::string& reason) const {
    return fmt::format("the agent of process {} at {:#x}-{:#x}, which passes everything through: {}",
                       agent_.target.pid(), agent_.place.image_begin, agent_.place.image_end, reason);
  }
  void step(const char* what) const {
    if (agent_.step) agent_.step(what);
  }

  // Another memsnap may be taking a snapshot of it just now: that holds it for milliseconds.
  template <class Work>
  bool patiently(Work work) const {
    constexpr useconds_t kPause = 10000;
    const auto deadline = std::chrono::steady_clock::now() + limits_.wait;
    for (;;) {
      try {
        TracerThread tracer;
        return tracer.run(work);
      } catch (const Error& error) {
        if (error.code() != ExitCode::kBusy || std::chrono::steady_clock::now() >= deadline) throw;
      }
      ::usleep(kPause);
    }
  }

  // False: the process has replaced its program (execve) or forgotten the agent in another way.
  bool unhook() {
    const bool there = patiently([&] {
      StoppedProcess stopped(agent_.target, {.wait = limits_.wait, .longest = limits_.max_pause});
      if (!agent_.memory.try_read<std::uint64_t>(agent_.place.image_begin)) return false;
      const pid_t tid = stopped.stopped().front();
      step("unhook");
      const AgentControl off{};
      const bool quiet = agent_.place.control == 0 || agent_.memory.write_value(agent_.place.control, off, tid);
      step("undo");
      const bool undone = undo_patches(agent_.memory, agent_.patches, tid);
      step("journal");
      if (agent_.journal) agent_.journal();
      stopped.release();
      end_.unhook_pause = stopped.stopped_for();
      agent_.target.require_alive();
      if (!undone || !quiet) end_.left_behind.emplace_back("words of memsnap that could not be written over");
      return true;
    });
    for (const AgentPatch& patch : agent_.patches) {
      end_.patches_undone += patch.state == kPatchUndone ? 1 : 0;
      end_.patches_foreign += patch.state == kPatchForeign ? 1 : 0;
    }
    return there;
  }

  // Until nothing refers to it, or what does will not go away by itself.
  ImageReferences prove(const AgentImage& image) {
    ImageReferences found;
    for (const milliseconds pause : kPauses) {
      ::usleep(static_cast<useconds_t>(std::chrono::microseconds(pause).count()));
      step("prove");
      bool fallback = false;
      std::unique_ptr<FrozenProcess> frozen;
      try {
        // As if asked for: it lives shorter than for a walk, and without it the agent would stay.
        const FreezeOptions options{.method = Method::kFreeze, .wait = limits_.wait, .max_pause = limits_.max_pause};
        frozen = freeze_by_fork(agent_.target, options, log_, &fallback);
      } catch (const Error& error) {
        if (error.code() == ExitCode::kNoSuchProcess) throw;
        found.reasons = {fmt::format("whether something refers to it could not be found out: {}", error.what())};
        if (fallback || error.code() == ExitCode::kTargetHarmed) return found;
        continue;
      }
      const ScanQuestion question{
          .place = agent_.place, .image = image, .inside = calls_inside(), .target = agent_.target.pid()};
      found = find_references(*frozen, question);
      end_.proof_pause = std::max(end_.proof_pause, frozen->facts().pause);
      ++end_.proofs;
      for (std::string& left : frozen->release()) end_.left_behind.push_back(std::move(left));
      for (const std::string& reason : found.reasons) log_.debug("unload_waits", reason);
      if (found.reasons.empty() || !found.passing) break;
    }
    return found;
  }

  // Hooks that run, as the agent's threads say; a count it leaves alone in tables that are not ours to trust: only a
  // reason to wait.
  std::uint64_t calls_inside() const {
    if (!agent_.has_tables) return 0;
    const auto header = agent_.memory.try_read<AgentHeader>(agent_.place.shared_begin);
    if (!header) return 0;
    constexpr std::uint64_t kMostThreads = 1u << 16;
    const AgentSection& section = header->sections.threads;
    const auto count =
        std::min<std::uint64_t>({section.capacity, std::uint64_t{header->thread_count} + 1, kMostThreads});
    const std::uint64_t size = agent_.place.shared_end - agent_.place.shared_begin;
    std::uint64_t inside = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t offset = section.offset + i * sizeof(AgentThread);
      if (offset > size - sizeof(AgentThread)) break;
      const auto thread = agent_.memory.try_read<AgentThread>(agent_.place.shared_begin + offset);
      if (thread && thread->state == 1 && thread->inside != 0) ++inside;
    }
    return inside;
  }

  void take_away(const AgentPlace& place, bool tables) {
    std::string why = "its program has no system call instruction that could be used";
    bool done = false;
    try {
      const MemoryMap map = MemoryMap::of(agent_.target.pid());
      const auto gadgets = find_gadgets(map, agent_.memory);
      for (int attempt = 0; attempt < 3 && gadgets && !done; ++attempt) {
        done = patiently([&] { return unmap(place, tables, map, *gadgets, &why); });
      }
    } catch (const Error& error) {
      if (error.code() != ExitCode::kGaveUp && error.code() != ExitCode::kBusy) throw;
      why = error.what();
    }
    if (!done && is_mapped(place)) end_.left_behind.push_back(describe(why));
  }

  // Not any more when the process has become another program meanwhile.
  bool is_mapped(const AgentPlace& place) const {
    const MemoryMap map = MemoryMap::of(agent_.target.pid());
    return map.find(place.image_begin != 0 ? place.image_begin : place.shared_begin) != nullptr;
  }

  bool unmap(const AgentPlace& place, bool tables, const MemoryMap& map, const Gadgets& gadgets, std::string* why) {
    const pid_t pid = agent_.target.pid();
    StoppedProcess stopped(agent_.target, {.wait = limits_.wait, .longest = limits_.max_pause});
    if (const auto inside = who_is_inside(stopped)) {
      *why = *inside;
      return false;
    }
    const auto thread = borrow_thread(pid, stopped.stopped(), map, gadgets, why, agent_calls());
    if (!thread) return false;
    step("unmap");
    const bool done = unmap_agent(*thread, place, tables, why);
    step("unmapped");
    if (!thread->restore() || !stopped.changed().empty()) {
      throw Error(ExitCode::kTargetHarmed, fmt::format("a thread of {} is not as it was before the stop", pid),
                  "please report this with the output of: memsnap doctor");
    }
    stopped.release();
    end_.unmap_pause = stopped.stopped_for();
    return done;
  }

  // That it is gone, by what can be seen from outside.
  void verify() {
    if (!end_.left_behind.empty()) return;
    const MemoryMap map = MemoryMap::of(agent_.target.pid());
    const std::string name = fmt::format("/memfd:{}", kAgentName);
    for (const Mapping& mapping : map.mappings()) {
      if (agent_.has_tables && mapping.begin == agent_.place.shared_begin && mapping.name.starts_with(name))
        end_.left_behind.emplace_back("the tables of memsnap are still mapped");
    }
    const std::uint64_t size = agent_.place.image_end - agent_.place.image_begin;
    for (const AgentPatch& patch : agent_.patches) {
      const auto word = agent_.memory.try_read<std::uint64_t>(patch.address);
      if (word && *word == patch.new_value && *word - agent_.place.image_begin < size)
        end_.left_behind.push_back(fmt::format("a word at {:#x} leads to where the agent was", patch.address));
    }
  }

  // Nothing leads there any more: a last look, which costs nothing.
  std::optional<std::string> who_is_inside(const StoppedProcess& stopped) const {
    if (stopped.not_stopped() != 0) return "a thread in uninterruptible sleep could not be stopped";
    for (const HeldThread& thread : stopped.held()) {
      if (thread.registers.rip - agent_.place.image_begin < agent_.place.image_end - agent_.place.image_begin)
        return fmt::format("thread {} is inside it", thread.tid);
    }
    return std::nullopt;
  }

  const AgentToUnload& agent_;
  const StopLimits& limits_;
  Log& log_;
  TrackingEnd end_;
};

}  // namespace

TrackingEnd unload_agent(const AgentToUnload& agent, const StopLimits& limits, Log& log) {
  return Unloader(agent, limits, log).run();
}

}  // namespace memsnap
