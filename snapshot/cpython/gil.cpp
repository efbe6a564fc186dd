#include "snapshot/cpython/gil.h"

#include <algorithm>

namespace memsnap {
namespace {

std::uint64_t word(const ProcessMemory& memory, std::uint64_t address) {
  return memory.try_read<std::uint64_t>(address).value_or(0);
}

bool is_thread_state(const std::vector<InterpreterState>& interpreters, std::uint64_t address) {
  return std::any_of(interpreters.begin(), interpreters.end(), [address](const InterpreterState& interpreter) {
    return std::any_of(interpreter.threads.begin(), interpreter.threads.end(),
                       [address](const ThreadState& thread) { return thread.address == address; });
  });
}

GilState read_gil(const ProcessMemory& memory, const PythonProcess& python,
                  const std::vector<InterpreterState>& interpreters, std::uint64_t address) {
  const HeapLayout::Gil& layout = python.layout.gil;
  GilState gil{.address = address, .size = layout.size};
  const auto locked = memory.try_read<std::int32_t>(address + layout.locked);
  const std::uint64_t last = word(memory, address + layout.last_holder);
  if (locked == 0) {
    gil.held = false;
  } else if (locked == 1 && is_thread_state(interpreters, last)) {
    // The holder's name is written a moment after the lock: to 3.11 a second word must say the same.
    const std::uint64_t current =
        layout.current_thread == 0 ? last : word(memory, python.runtime + layout.current_thread);
    if (current != last && current != 0) return gil;
    gil.held = true;
    gil.holder = last;
  }
  return gil;
}

}  // namespace

std::vector<GilState> read_gils(const ProcessMemory& memory, const PythonProcess& python,
                                const std::vector<InterpreterState>& interpreters) {
  const HeapLayout::Gil& layout = python.layout.gil;
  std::vector<GilState> gils;
  if (layout.in_runtime != 0) {
    gils.push_back(read_gil(memory, python, interpreters, python.runtime + layout.in_runtime));
    return gils;
  }
  // The main interpreter first: the list has the newest first.
  for (auto interpreter = interpreters.rbegin(); interpreter != interpreters.rend(); ++interpreter) {
    const std::uint64_t address = word(memory, interpreter->address + layout.in_interpreter);
    const bool known =
        std::any_of(gils.begin(), gils.end(), [&](const GilState& gil) { return gil.address == address; });
    if (address == 0 || known) continue;
    gils.push_back(read_gil(memory, python, interpreters, address));
    gils.back().interpreter = interpreter->id;
  }
  return gils;
}

std::optional<bool> is_collecting(const ProcessMemory& memory, const PythonProcess& python,
                                  const std::vector<InterpreterState>& interpreters) {
  const HeapLayout& layout = python.layout;
  std::vector<std::uint64_t> collectors;
  if (layout.runtime.gc != 0) {
    collectors.push_back(python.runtime + layout.runtime.gc);
  } else {
    for (const InterpreterState& interpreter : interpreters)
      collectors.push_back(interpreter.address + layout.interpreter.gc);
  }
  std::optional<bool> any = collectors.empty() ? std::nullopt : std::optional(false);
  for (const std::uint64_t collector : collectors) {
    const auto flag = memory.try_read<std::int32_t>(collector + layout.interpreter.gc_collecting);
    if (!flag || (*flag != 0 && *flag != 1)) return std::nullopt;
    if (*flag == 1) any = true;
  }
  return any;
}

}  // namespace memsnap
