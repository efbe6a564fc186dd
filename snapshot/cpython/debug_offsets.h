#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "attach/process_memory.h"
#include "inject/protocol/heap_layout.h"
#include "snapshot/cpython/py_version.h"

namespace memsnap {

// What a CPython from 3.13 on says of itself at the start of _PyRuntime (_Py_DebugOffsets): its version and the offsets
// of this very build. It says nothing of most fields a heap walk needs, so it is laid over a table.
struct DebugOffsets {
  PyVersion version{};
  bool free_threaded = false;
  std::vector<std::uint64_t> words{};  // all of the structure, for the minor versions that are known; else empty
};

// Empty when the cookie is not there: an older release, or no _PyRuntime.
std::optional<DebugOffsets> read_debug_offsets(const ProcessMemory& memory, std::uint64_t runtime);

// Lets the target's own offsets win. Throws Error kUnsupported when one is no offset at all.
void overlay(const DebugOffsets& offsets, HeapLayout& layout);

}  // namespace memsnap
