#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "attach/process_memory.h"

namespace memsnap {

// The command line of a process as its main thread's stack still has it, found from AT_RANDOM: a core's own note keeps
// but 79 bytes, or none. Empty when it is not there, or was overwritten.
std::vector<std::string> arguments_on_stack(const ProcessMemory& memory, std::uint64_t random_bytes);

}  // namespace memsnap
