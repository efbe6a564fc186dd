#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "attach/process_memory.h"
#include "snapshot/cpython/interpreters.h"
#include "snapshot/cpython/python_process.h"

namespace memsnap {

// A global interpreter lock: one for the process, from 3.12 on interpreters may have their own.
struct GilState {
  std::uint64_t address = 0;  // with the condition variables that threads wait on for it
  std::uint64_t size = 0;
  std::int64_t interpreter = 0;  // the first that uses it
  std::optional<bool> held{};    // empty: its words say nothing that can be trusted
  std::uint64_t holder = 0;      // PyThreadState, one of those given; 0: nobody
};

// Verified: the lock's word is 0 or 1, and its holder is a thread state that there is.
std::vector<GilState> read_gils(const ProcessMemory& memory, const PythonProcess& python,
                                const std::vector<InterpreterState>& interpreters);

// Whether a collection runs; empty when the word says neither.
std::optional<bool> is_collecting(const ProcessMemory& memory, const PythonProcess& python,
                                  const std::vector<InterpreterState>& interpreters);

}  // namespace memsnap
