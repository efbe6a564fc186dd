#include "inject/control/agent_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <span>
#include <utility>

#include "attach/base/error.h"
#include "attach/elf_image.h"
#include "attach/memory_guard.h"
#include "attach/reaper.h"
#include "inject/control/agent_blob.h"
#include "inject/control/hooked_functions.h"
#include "inject/control/left_tracking.h"
#include "inject/control/patches.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint32_t kTidOffset = 0x2d0;  // pthread's tid in the thread control block, glibc x86-64

std::uint32_t domain_bits() {
  const auto bit = [](Allocator allocator) { return 1u << static_cast<std::uint32_t>(allocator); };
  return bit(Allocator::kPymallocMalloc) | bit(Allocator::kPymallocCalloc) | bit(Allocator::kPymallocRealloc);
}

// All threads of it stand still, and which do not.
void require_all(const ProcessId& target, const StoppedProcess& stopped) {
  if (stopped.not_stopped() == 0) return;
  std::string others;
  for (const pid_t tid : thread_ids(target.pid())) {
    const auto& known = stopped.stopped();
    if (std::find(known.begin(), known.end(), tid) == known.end()) others += fmt::format(" {}", tid);
  }
  throw Error(ExitCode::kGaveUp,
              fmt::format("threads of {} are in uninterruptible sleep (state D) and cannot be stopped:{}", target.pid(),
                          others),
              "try again later; a snapshot works all the same");
}

std::uint32_t verified_tid_offset(const ProcessId& target, const StoppedProcess& stopped,
                                  const WritableMemory& memory) {
  const bool outer = innermost_pid(target.pid()) == target.pid();
  for (const HeldThread& thread : stopped.held()) {
    const auto tid = memory.try_read<pid_t>(thread.registers.fs_base + kTidOffset);
    if (thread.registers.fs_base == 0 || tid != (outer ? thread.tid : innermost_pid(thread.tid))) return 0;
  }
  return kTidOffset;
}

class Loader {
 public:
  Loader(const ProcessId& target, const TrackingSetup& setup, const WritableMemory& memory, const LoadPlan& plan,
         const LeaseClock& clock)
      : target_(target), setup_(setup), memory_(memory), plan_(plan), clock_(clock) {}

  LoadedAgent run() {
    StoppedProcess stopped(
        target_, {.wait = setup_.limits.wait, .longest = setup_.limits.max_pause, .held = setup_.holder != nullptr});
    require_all(target_, stopped);
    require_alone();
    stopped_ = stopped.stopped().front();
    std::string why;
    const auto thread = borrow_thread(target_.pid(), stopped.stopped(), plan_.map, plan_.gadgets, &why, agent_calls());
    if (!thread) {
      throw Error(ExitCode::kGaveUp, fmt::format("the agent cannot be loaded into {}: {}", target_.pid(), why),
                  "a snapshot works all the same: memsnap snapshot --method stop");
    }
    loaded_.tid_offset = verified_tid_offset(target_, stopped, memory_);
    for (const HeldThread& held : stopped.held()) loaded_.control_blocks.push_back(held.registers.fs_base);
    loaded_.mapped = map_agent(*thread, target_.pid(), plan_.image, plan_.sizes, plan_.header, setup_.step);
    try {
      fill();
    } catch (const Error&) {
      take_back(*thread);
      throw;
    }
    const bool same = thread->restore();
    const std::vector<pid_t> changed = stopped.changed();
    stopped.release();
    loaded_.pause = stopped.stopped_for();
    if (same && changed.empty()) return std::move(loaded_);
    throw Error(ExitCode::kTargetHarmed, fmt::format("a thread of {} is not as it was before the stop", target_.pid()),
                "please report this with the output of: memsnap doctor");
  }

 private:
  // Another memsnap may have loaded its own since it was looked for; now that all stands still, no other can.
  void require_alone() const {
    for (const FoundAgent& agent : find_agents(target_.pid())) {
      if (agent.keeper == 0) continue;
      throw Error(ExitCode::kBusy,
                  fmt::format("process {} is being tracked by memsnap, pid {}", target_.pid(), agent.keeper),
                  fmt::format("end that first: memsnap detach {}", target_.pid()));
    }
  }

  void step(const char* what) const {
    if (setup_.step) setup_.step(what);
  }

  void require(bool done, const char* what) const {
    if (done) return;
    throw Error(ExitCode::kGaveUp, fmt::format("{} of process {} cannot be written", what, target_.pid()),
                "a policy (proc_mem.force_override) may forbid it; a snapshot works all the same");
  }

  void fill() {
    const AgentPlace& place = loaded_.mapped.place;
    std::vector<std::byte> bytes = plan_.image.relocated(place.image_begin);
    AgentConfig config = setup_.config;
    config.shared = place.shared_begin;
    config.control = place.control;
    config.functions = plan_.got.real;
    config.tid_offset = loaded_.tid_offset;
    config.period = setup_.period;
    std::vector<AgentPatch> domains = domain_patches(config);
    const auto at = plan_.image.symbol(kConfigSymbol);
    require(at && *at + sizeof(config) <= bytes.size(), "the agent's configuration");
    std::memcpy(bytes.data() + *at, &config, sizeof(config));
    AgentHeader& header = loaded_.mapped.tables->header();
    loaded_.allocators = plan_.got.allocators | (domains.empty() || config.domains_pass != 0 ? 0 : domain_bits());
    header.allocators = loaded_.allocators;
    step("image");
    require(write_image(place.image_begin, bytes), "the agent's memory");
    // Recording begins with the first hook: the lease is the last thing between a killed memsnap and a quiet agent.
    const AgentControl control{
        .mode = static_cast<std::uint32_t>(setup_.to_exit ? AgentMode::kRecordToExit : AgentMode::kRecord),
        .depth = setup_.depth,
        .lease_tsc = clock_.after(setup_.lease)};
    step("control");
    require(memory_.write_value(place.control, control, stopped_), "the agent's control page");
    step("hook");
    require(hook_slots(memory_, plan_.got, plan_.image, place, *loaded_.mapped.tables, stopped_).has_value(),
            "a table of functions");
    step("domains");
    require(loaded_.mapped.tables->add(domains) && write_patches(memory_, domains, stopped_),
            "CPython's table of allocators");
    step("hooked");
  }

  // Pages that are all zero are so already, and are not made resident.
  bool write_image(std::uint64_t begin, std::span<const std::byte> bytes) const {
    for (std::size_t at = 0; at < bytes.size(); at += kPageSize) {
      const auto page = bytes.subspan(at, kPageSize);
      const bool blank = std::all_of(page.begin(), page.end(), [](std::byte byte) { return byte == std::byte{0}; });
      if (!blank && !memory_.write(begin + at, page, stopped_)) return false;
    }
    return true;
  }

  // What the domains call now becomes what the hooks go on to; the context is left as it is.
  std::vector<AgentPatch> domain_patches(AgentConfig& config) const {
    std::vector<AgentPatch> patches;
    const std::array<std::uint64_t, 2> structs = {setup_.allocator_mem, setup_.allocator_obj};
    for (std::size_t i = 0; i < structs.size(); ++i) {
      const HookedDomain& domain = hooked_domains()[i];
      for (const HookedMethod& method : hooked_methods()) {
        if (structs.at(i) == 0) continue;
        const std::uint64_t address = structs.at(i) + method.offset;
        const auto hook = plan_.image.symbol(hook_symbol(std::string(domain.prefix).append(method.name)));
        const auto present = memory_.try_read<std::uint64_t>(address);
        const Mapping* const code = present ? plan_.map.find(*present) : nullptr;
        require(hook && code != nullptr && code->executable, "CPython's table of allocators");
        config.*domain.functions.*method.real = *present;
        patches.push_back(
            {address, *present, loaded_.mapped.place.image_begin + *hook, PatchKind::kAllocatorStruct, kPatchWritten});
      }
    }
    return patches;
  }

  // No thread has run since: nothing leads into it but the words that are put back here.
  void take_back(RemoteCall& thread) {
    const bool undone = undo_patches(memory_, loaded_.mapped.tables->patches(), stopped_);
    loaded_.mapped.tables->write_journal();
    std::string why;
    if (undone) unmap_agent(thread, loaded_.mapped.place, true, &why);
  }

  const ProcessId& target_;
  const TrackingSetup& setup_;
  const WritableMemory& memory_;
  const LoadPlan& plan_;
  const LeaseClock& clock_;
  LoadedAgent loaded_;
  pid_t stopped_ = 0;
};

}  // namespace

std::vector<bool> hooks_of(const AgentImage& image, bool mappings) {
  std::vector<bool> functions;
  for (const HookedFunction& function : hooked_functions()) {
    functions.push_back((mappings || function.group != HookGroup::kMap) &&
                        image.symbol(hook_symbol(function.hook)).has_value());
  }
  return functions;
}

void require_room_for_tables(pid_t pid, const TrackingSetup& setup) {
  constexpr std::uint64_t kFixed = 16 * kMiB;
  constexpr std::uint64_t kExactShare = 4;  // of what is allocated from now on; most of it replaces what is there
  constexpr std::uint64_t kSampledShare = 64;
  const FreezeCost cost = read_freeze_cost(pid);
  const auto limits = memory_limits(pid);
  const auto room = memory_headroom(limits);
  // At the end a frozen copy is looked at.
  const std::uint64_t copy = kills_group(limits) ? predicted_child_memory(cost, true) : 0;
  const std::uint64_t need =
      kFixed + cost.resident / (setup.period == 1 ? kExactShare : kSampledShare) + copy + last_headroom(limits);
  if (!room || *room >= need) return;
  throw Error(ExitCode::kGaveUp,
              fmt::format("{} has {} MiB left below its memory limit, tracking may need {} MiB", pid, *room / kMiB,
                          need / kMiB),
              setup.period == 1 ? "raise the limit, or sample: --sample 512KiB" : "raise the limit");
}

LoadPlan plan_load(const ProcessId& target, const TrackingSetup& setup, const WritableMemory& memory) {
  const pid_t pid = target.pid();
  require_room_for_tables(pid, setup);
  const std::span<const std::byte> file = setup.image.empty() ? agent_blob() : setup.image;
  AgentImage image = AgentImage::parse(file);
  TableSizes sizes = fitting_tables(pid, image.size() + kPageSize, setup.config.native != 0);
  MemoryMap map = MemoryMap::of(pid);
  const auto gadgets = find_gadgets(map, memory);
  if (!gadgets) {
    throw Error(ExitCode::kGaveUp,
                fmt::format("the program of {} has no system call instruction that could be used", pid), "");
  }
  GotPlan got = plan_got(pid, map, memory, {.functions = hooks_of(image, setup.mappings)});
  LoadPlan plan{std::move(image), std::move(map), *gadgets, std::move(got), sizes};
  plan.header.pid = static_cast<std::uint32_t>(pid);
  plan.header.start_time = target.start_time();
  plan.header.python_hex = setup.python_hex;
  plan.header.period = setup.period;
  const auto epoch = std::chrono::system_clock::now().time_since_epoch();
  plan.header.began_ns =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(epoch).count());
  return plan;
}

LoadedAgent load_agent(const ProcessId& target, const TrackingSetup& setup, const WritableMemory& memory,
                       const LoadPlan& plan, const LeaseClock& clock) {
  return Loader(target, setup, memory, plan, clock).run();
}

std::optional<std::size_t> hook_slots(const WritableMemory& memory, const GotPlan& got, const AgentImage& image,
                                      const AgentPlace& place, SharedTables& tables, pid_t stopped) {
  std::vector<AgentPatch> patches;
  for (const GotSlot& slot : got.slots) {
    const HookedFunction& function = hooked_functions()[slot.function];
    const auto hook = image.symbol(hook_symbol(function.hook));
    const auto present = memory.try_read<std::uint64_t>(slot.address);
    if (!hook || !present || !may_hook(slot, *present, got.real.*function.real)) continue;
    patches.push_back({slot.address, *present, place.image_begin + *hook, PatchKind::kGotSlot, kPatchWritten});
  }
  if (!tables.add(patches)) return std::nullopt;
  if (!write_patches(memory, patches, stopped)) return std::nullopt;
  return patches.size();
}

}  // namespace memsnap
