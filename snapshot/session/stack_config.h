#pragma once

#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

#include "attach/elf_image.h"
#include "inject/control/tracking.h"
#include "inject/protocol/agent_abi.h"
#include "snapshot/cpython/python_process.h"

namespace memsnap {

// What the agent must know of a verified CPython to record stacks: thread_state, thread_state_released, finalizing,
// code_type and layout. thread_state 0: the program exports no way to it.
AgentConfig stack_config(const std::vector<std::unique_ptr<ElfImage>>& images, const PythonProcess& python);

// What to warn of: libraries whose native frames are not followed. Empty: none.
std::string native_left_out(const TrackingFacts& facts);

}  // namespace memsnap
