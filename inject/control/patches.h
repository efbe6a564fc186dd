#pragma once

#include <sys/types.h>

#include <cstdint>
#include <span>

#include "inject/control/writable_memory.h"
#include "inject/protocol/agent_abi.h"

namespace memsnap {

// States of AgentPatch.
inline constexpr std::uint32_t kPatchWritten = 1;
inline constexpr std::uint32_t kPatchUndone = 2;
inline constexpr std::uint32_t kPatchForeign = 3;

// Writes the new words and reads them back. The caller has them in the journal already, and all threads are stopped.
// False: not all could be written; undo() takes back those that were.
bool write_patches(const WritableMemory& memory, std::span<const AgentPatch> patches, pid_t stopped);

// Puts the old words back where ours still stand; what holds something else by now is left alone and becomes
// kPatchForeign, unless it holds the old word. False: a word of ours could not be written over.
bool undo_patches(const WritableMemory& memory, std::span<AgentPatch> patches, pid_t stopped);

}  // namespace memsnap
