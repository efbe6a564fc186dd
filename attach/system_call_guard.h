#pragma once

#include <sys/user.h>

#include "attach/process_memory.h"

namespace memsnap {

// Whether code in the frozen child may make the system call at whose entry it stands: what a malloc inside a
// tp_traverse needs, and nothing that reaches beyond the child's own memory.
bool is_harmless_call(const user_regs_struct& registers, const ProcessMemory& memory);

}  // namespace memsnap
