#pragma once

#include <optional>
#include <string>

#include "attach/process_memory.h"
#include "snapshot/cpython/python_process.h"

namespace memsnap {

// Tries a layout on the target: each field that leads somewhere must lead to what it should. Empty when all is well,
// else what is wrong, in words. Needs version (0: not known, then any), runtime, layout and types; settles type_type
// and version.
std::optional<std::string> check_layout(const ProcessMemory& memory, PythonProcess& python);

// Fields that neither debug offsets nor check_layout vouch for, and that move between patch releases: found again, or
// set to 0 when the target does not show them to be right. After check_layout.
void settle_interpreter_fields(const ProcessMemory& memory, const HeapLayout& table, PythonProcess& python);

}  // namespace memsnap
