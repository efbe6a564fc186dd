#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "attach/process_memory.h"
#include "snapshot/memory/ranges.h"

namespace memsnap {

// Stacks that glibc made, of threads that run and of ended ones that it keeps for new ones: known by the thread's
// descriptor at the top (struct pthread, nptl/descr.h), which says where the stack begins. Looked for at the end of
// each of `gaps`, memory of which nothing else is known, and at `thread_ids` (pthread_t). Ascending.
std::vector<Run> find_thread_stacks(const ProcessMemory& memory, std::span<const Run> gaps,
                                    std::span<const std::uint64_t> thread_ids);

// Chunks of memory in which CPython from 3.11 on keeps the frames of running calls (struct _PyStackChunk): chained
// from a PyThreadState of `state_size` bytes.
std::vector<Run> find_frame_stacks(const ProcessMemory& memory, std::span<const Run> gaps,
                                   std::span<const std::uint64_t> thread_states, std::size_t state_size);

}  // namespace memsnap
