#pragma once

#include <cstddef>
#include <cstdint>

#include "inject/agent/image.h"

// What a hook does besides calling the real function.
namespace memsnap::agent {

// The calling thread's record, marked as being in a hook, or null: nothing is recorded now, or this hook was entered
// from a hook, or from a signal handler in the middle of one. Then it only passes through.
inline AgentThread* enter() { return nullptr; }
inline void leave(AgentThread* /*self*/) {}

// After the real function gave a block.
inline void allocated(AgentThread* /*self*/, const void* /*block*/, std::size_t /*size*/, Allocator /*allocator*/) {}

// Before the real function takes a block back, for then another thread may be given it at once. `self` may be null.
// Returns what `restore` needs when the block lives on after all.
inline std::uint64_t released(AgentThread* /*self*/, const void* /*block*/) { return 0; }
inline void restore(const void* /*block*/, std::uint64_t /*word*/) {}

// A stretch of address space has nothing of what it held.
inline void unmapped(const void* /*mapping*/, std::size_t /*length*/) {}

// How many allocations of this thread were recorded or passed: tells whether a hook was called in between.
inline std::uint64_t allocations_of_thread() { return 0; }

}  // namespace memsnap::agent
