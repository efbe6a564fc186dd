#pragma once

#include <cstdint>

#include "inject/agent/tables.h"

namespace memsnap::agent {

// The node of the calling thread's Python stack as it is now; the thread's own node when it runs no Python code.
// 0: no room for it, and the block is not to be recorded.
std::uint32_t stack_node(ThreadCache& self);

}  // namespace memsnap::agent
