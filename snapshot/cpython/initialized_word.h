#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "attach/elf_image.h"
#include "attach/process_memory.h"

namespace memsnap {

// The CPython of a program that has not begun to run.
struct UninitializedPython {
  std::uint64_t runtime = 0;      // _PyRuntime
  std::uint64_t initialized = 0;  // the word that Py_IsInitialized() returns; 0: its code was not understood
};

// Empty: no library of it is a CPython.
std::optional<UninitializedPython> find_uninitialized_python(const std::vector<std::unique_ptr<ElfImage>>& images,
                                                             const ProcessMemory& memory);

// What a function that only returns a 32-bit variable returns: the address of that. Empty: it does anything else.
std::optional<std::uint64_t> variable_returned(const ProcessMemory& memory, std::uint64_t function);

}  // namespace memsnap
