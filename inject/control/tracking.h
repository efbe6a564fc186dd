#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attach/base/log.h"
#include "attach/process_id.h"
#include "inject/control/agent_mapping.h"
#include "inject/control/got_patches.h"
#include "inject/control/unload.h"
#include "inject/protocol/agent_abi.h"

namespace memsnap {

class TracerThread;

// What is to be tracked, and what only the caller knows of the target.
struct TrackingSetup {
  std::uint64_t period = 512u << 10;  // bytes between samples on average; 1: every block
  std::uint32_t depth = 128;          // most Python frames of a stack
  bool mappings = true;               // mmap and its family too
  // Of these are taken: thread_state, thread_state_released, finalizing, code_type, native, layout, domains_pass.
  AgentConfig config{};
  std::uint32_t python_hex = 0;
  std::uint64_t allocator_mem = 0;  // PyMemAllocatorEx of the domains MEM and OBJ; 0: not hooked
  std::uint64_t allocator_obj = 0;
  StopLimits limits;
  std::chrono::milliseconds lease{10000};  // the agent records for so long without a renewal
  std::span<const std::byte> image;        // another agent than the built-in one
  bool to_exit = false;                    // the agent waits for memsnap when Python begins to end: see waits_at_exit()
  StepObserver step;
  TracerThread* holder = nullptr;  // holds the target's only thread stopped, and goes on holding it
};

// What start() did, for the log and the JSON.
struct TrackingFacts {
  std::chrono::nanoseconds pause{};  // the target was stopped
  std::chrono::nanoseconds took{};   // all of it
  AgentPlace place;
  std::size_t patches = 0;
  std::size_t libraries = 0;
  std::size_t foreign = 0;                 // words of libraries that somebody else has taken over: left alone
  std::string allocator;                   // the library that malloc is from
  std::uint32_t allocators = 0;            // bits 1 << Allocator
  std::uint32_t tid_offset = 0;            // 0: could not be verified
  std::vector<std::string> without_rules;  // libraries for whose native frames there was no room
  std::vector<std::string> earlier;        // what an earlier memsnap had left and that is still there
};

// The agent in a running process, from loading it to taking it out. The destructor takes it out too, quietly.
class Tracking {
 public:
  // `target` and `log` outlive it. What an earlier memsnap left is taken out first. Throws Error with the target as it
  // was: kGaveUp (no room, a filter, a limit, a policy), kBusy (another tracer or another tracking memsnap),
  // kUnsupported (static program), kNoPermission, kNoSuchProcess.
  static std::unique_ptr<Tracking> start(const ProcessId& target, const TrackingSetup& setup, Log& log);
  ~Tracking();
  Tracking(const Tracking&) = delete;
  Tracking& operator=(const Tracking&) = delete;

  const TrackingFacts& facts() const;
  // The shared memory: the descriptor stays valid after the target has ended, until this object ends.
  int descriptor() const;
  const AgentHeader& header() const;

  enum class Health {
    kGood,
    kMemoryShort,  // the target's memory limit is near: recording was switched off
    kGone,         // the target has ended or replaced its program: there is nothing to take out
  };
  // To be called several times within a lease. `longer`: than the usual one, when memsnap is about to be suspended.
  Health renew_lease(std::chrono::milliseconds longer = {});
  // Hooks libraries that came since, when the agent saw some come or `always`; stops the target only for that.
  // The number of words that were hooked.
  std::size_t poll_new_libraries(bool always = false);

  // For a program that was caught before its interpreter was there: from now on stacks are recorded. Of `known` is
  // taken what TrackingSetup says of its config; it was verified. False: it cannot be written.
  bool add_stacks(const AgentConfig& known, std::uint32_t python_hex);
  // Python has begun to end, and goes no further before go_on_to_exit(); asked without a system call.
  bool waits_at_exit() const;
  void go_on_to_exit();
  // Libraries may have come since the last time this was asked.
  std::uint64_t loads() const;
  // CPython's allocator structs still hold the hooks, if they were hooked.
  bool domains_hooked() const;

  // The target has become another program: there is nothing to take out.
  void forget();

  // The target's fork children that took the agent along are seen to as well. May be called once.
  TrackingEnd stop();

 private:
  struct State;
  explicit Tracking(std::unique_ptr<State> state);
  void publish_native(const std::vector<std::uint64_t>& control_blocks);
  std::unique_ptr<State> state_;
};

}  // namespace memsnap
