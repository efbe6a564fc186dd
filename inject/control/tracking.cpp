#include "inject/control/tracking.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <optional>
#include <utility>

#include "attach/base/error.h"
#include "attach/memory_guard.h"
#include "attach/stopped_process.h"
#include "attach/tracer_thread.h"
#include "inject/control/agent_loader.h"
#include "inject/control/left_tracking.h"
#include "inject/control/loaded_library.h"
#include "inject/control/native_tables.h"
#include "inject/control/patches.h"

namespace memsnap {

using std::chrono::steady_clock;

namespace {

// One that ends has lost its memory before it is seen to have ended.
bool has_ended(const ProcessId& target, const Error& error) {
  if (error.code() == ExitCode::kNoSuchProcess) return true;
  try {
    target.require_memory();
    return false;
  } catch (const Error&) {
    return true;
  }
}

AgentMode mode_of(const TrackingSetup& setup, bool record) {
  if (!record) return AgentMode::kOff;
  return setup.to_exit ? AgentMode::kRecordToExit : AgentMode::kRecord;
}

}  // namespace

struct Tracking::State {
  const ProcessId& target;
  TrackingSetup setup;
  Log& log;
  LeaseClock clock{};
  WritableMemory memory;
  AgentImage image;
  std::vector<MemoryLimit> limits;
  TrackingFacts facts{};
  std::unique_ptr<SharedTables> tables{};
  std::uint64_t loader = 0;
  std::uint64_t libraries_loaded = 0;
  std::uint64_t seen_loads = 0;
  steady_clock::time_point loading{};  // a library was seen to come, and may not be ready yet
  bool off = false;
  bool ended = false;
  std::unique_ptr<NativeTables> native{};  // null: no native frames are asked for

  std::size_t hook_newcomers() {
    const pid_t pid = target.pid();
    const AgentPlace& place = facts.place;
    // Before what they allocate is seen.
    std::vector<std::string> followed;
    if (native) followed = native->update(loaded_images(pid, MemoryMap::of(pid), memory));
    const GotPlan got = plan_got(
        pid, MemoryMap::of(pid), memory,
        {.functions = hooks_of(image, setup.mappings), .ours_begin = place.image_begin, .ours_end = place.image_end});
    std::size_t hooked = 0;
    if (!got.slots.empty()) {
      TracerThread tracer;
      hooked = tracer.run([&] {
        // What was found is looked at again now that all stands still: a library may be gone by now.
        StoppedProcess stopped(target, {.wait = setup.limits.wait, .longest = setup.limits.max_pause});
        return hook_slots(memory, got, image, place, *tables, stopped.stopped().front()).value_or(0);
      });
    }
    for (const std::string& path : followed)
      log.info("native_rules", fmt::format("the native frames of {} are followed now", path));
    return hooked;
  }
  bool write_control(bool record, std::chrono::milliseconds longer) const {
    const AgentControl control{.mode = static_cast<std::uint32_t>(mode_of(setup, record)),
                               .depth = setup.depth,
                               .lease_tsc = clock.after(std::max(setup.lease, longer))};
    return memory.write_value(facts.place.control, control);
  }
};

Tracking::Tracking(std::unique_ptr<State> state) : state_(std::move(state)) {}

Tracking::~Tracking() {
  try {
    stop();
  } catch (...) {  // it can no longer be stopped: the next memsnap finds the agent
  }
}

std::unique_ptr<Tracking> Tracking::start(const ProcessId& target, const TrackingSetup& setup, Log& log) {
  const auto began = steady_clock::now();
  const LeaseClock clock;
  target.require_alive();
  const auto earlier = end_left_tracking(target, setup.limits, log);
  WritableMemory memory(target.pid());
  LoadPlan plan = plan_load(target, setup, memory);
  std::vector<MemoryLimit> limits = memory_limits(target.pid());  // once it is loaded nothing may fail any more
  std::unique_ptr<NativeTables> native;
  if (setup.config.native != 0) {
    const auto images = loaded_images(target.pid(), plan.map, memory);
    native = std::make_unique<NativeTables>(images, memory, setup.python_hex);
  }
  if (setup.step) setup.step("planned");
  std::optional<TracerThread> own;
  TracerThread& tracer = setup.holder != nullptr ? *setup.holder : own.emplace();
  LoadedAgent loaded = tracer.run([&] { return load_agent(target, setup, memory, plan, clock); });
  std::unique_ptr<State> state(new State{.target = target,
                                         .setup = setup,
                                         .log = log,
                                         .clock = clock,
                                         .memory = std::move(memory),
                                         .image = std::move(plan.image),
                                         .limits = std::move(limits)});
  state->tables = std::move(loaded.mapped.tables);
  state->loader = plan.got.loader;
  state->libraries_loaded = plan.got.libraries_loaded;
  state->loading = began;
  TrackingFacts& facts = state->facts;
  facts.pause = loaded.pause;
  facts.place = loaded.mapped.place;
  facts.patches = state->tables->patches().size();
  facts.libraries = plan.got.libraries;
  facts.foreign = plan.got.foreign;
  facts.allocator = plan.got.allocator;
  facts.allocators = loaded.allocators;
  facts.tid_offset = loaded.tid_offset;
  if (earlier) facts.earlier = earlier->left_behind;
  state->native = std::move(native);
  // From here on the agent is taken out whatever fails.
  std::unique_ptr<Tracking> tracking(new Tracking(std::move(state)));
  tracking->publish_native(loaded.control_blocks);
  tracking->state_->facts.took = steady_clock::now() - began;
  return tracking;
}

void Tracking::publish_native(const std::vector<std::uint64_t>& control_blocks) {
  State& state = *state_;
  if (!state.native) return;
  state.native->publish(state.target.pid(), {state.facts.place, control_blocks}, state.memory, *state.tables);
  state.facts.without_rules = state.native->left_out();
  state.log.info("native_rules", fmt::format("native stacks are followed by {} rules of {} libraries",
                                             state.native->rows(), state.native->libraries()));
}

const TrackingFacts& Tracking::facts() const { return state_->facts; }
int Tracking::descriptor() const { return state_->tables->descriptor(); }
const AgentHeader& Tracking::header() const { return state_->tables->header(); }

Tracking::Health Tracking::renew_lease(std::chrono::milliseconds longer) {
  State& state = *state_;
  if (!state.target.alive()) return Health::kGone;
  const auto room = memory_headroom(state.limits);
  if (room && *room < last_headroom(state.limits)) state.off = true;
  if (!state.write_control(!state.off, longer)) return Health::kGone;
  return state.off ? Health::kMemoryShort : Health::kGood;
}

std::size_t Tracking::poll_new_libraries(bool always) {
  State& state = *state_;
  // The agent counts before a library is loaded, the loader lists it before it is ready: it is looked for a while.
  constexpr std::chrono::seconds kLoading{2};
  const std::uint64_t loads = std::atomic_ref(state.tables->header().dlopen_calls).load(std::memory_order_acquire);
  const std::uint64_t loaded = libraries_loaded(state.loader, state.memory);
  const auto now = steady_clock::now();
  if (state.native && state.native->find_stacks(state.target.pid()))
    state.log.info("native_stacks", "the stacks of other threads than the first are followed now");
  if (std::exchange(state.seen_loads, loads) != loads || std::exchange(state.libraries_loaded, loaded) != loaded)
    state.loading = now;
  if ((now - state.loading > kLoading && !always) || !state.target.alive() ||
      !state.memory.try_read<std::uint64_t>(state.facts.place.image_begin)) {
    return 0;
  }
  std::size_t hooked = 0;
  try {
    hooked = state.hook_newcomers();
  } catch (const Error& error) {  // it ends, or somebody else holds it just now: next time
    if (error.code() == ExitCode::kTargetHarmed) throw;
    state.loading = now;
    state.log.debug("poll_libraries", error.what());
  }
  state.facts.patches = state.tables->patches().size();
  return hooked;
}

bool Tracking::add_stacks(const AgentConfig& known, std::uint32_t python_hex) {
  State& state = *state_;
  const auto at = state.image.symbol(kConfigSymbol);
  if (!at) return false;
  const std::uint64_t address = state.facts.place.image_begin + *at;
  auto config = state.memory.try_read<AgentConfig>(address);
  if (!config) return false;
  state.tables->header().python_hex = python_hex;
  config->thread_state_released = known.thread_state_released;
  config->finalizing = known.finalizing;
  config->code_type = known.code_type;
  config->layout = known.layout;
  // The agent looks at nothing of this as long as it has no way to a thread's state: that word comes last.
  config->thread_state = 0;
  return state.memory.write_value(address, *config) &&
         state.memory.write_value(address + offsetof(AgentConfig, thread_state), known.thread_state);
}

bool Tracking::waits_at_exit() const {
  return std::atomic_ref(state_->tables->header().at_exit).load(std::memory_order_acquire) ==
         static_cast<std::uint32_t>(AgentExit::kWaits);
}

void Tracking::go_on_to_exit() {
  std::atomic_ref(state_->tables->header().at_exit)
      .store(static_cast<std::uint32_t>(AgentExit::kGoOn), std::memory_order_release);
}

std::uint64_t Tracking::loads() const {
  return std::atomic_ref(state_->tables->header().dlopen_calls).load(std::memory_order_relaxed);
}

bool Tracking::domains_hooked() const {
  const State& state = *state_;
  const auto& patches = state.tables->patches();
  return std::all_of(patches.begin(), patches.end(), [&](const AgentPatch& patch) {
    return patch.kind != PatchKind::kAllocatorStruct ||
           state.memory.try_read<std::uint64_t>(patch.address) == patch.new_value;
  });
}

void Tracking::forget() { state_->ended = true; }

TrackingEnd Tracking::stop() {
  State& state = *state_;
  if (std::exchange(state.ended, true)) return {};
  TrackingEnd end;
  try {
    end = unload_agent({.target = state.target,
                        .memory = state.memory,
                        .place = state.facts.place,
                        .patches = state.tables->patches(),
                        .journal = [&] { state.tables->write_journal(); },
                        .step = state.setup.step},
                       state.setup.limits, state.log);
  } catch (const Error& error) {
    // One that is just ending has no memory, or threads that cannot be stopped.
    if (error.code() == ExitCode::kTargetHarmed || !has_ended(state.target, error)) {
      state.ended = false;
      throw;
    }
  }
  end_in_descendants(state.target.pid(), state.facts.place, state.target.start_time(), state.setup.limits, state.log,
                     end);
  return end;
}

}  // namespace memsnap
