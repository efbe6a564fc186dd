#pragma once

#include <cstdint>
#include <span>

#include "inject/protocol/heap_layout.h"

namespace memsnap {

// All generated tables, oldest first. One covers the releases from its `since` to the next table's.
std::span<const HeapLayout> all_layouts();

// The table for a release, given as its PY_VERSION_HEX. Throws Error kUnsupported outside 3.8 to 3.15. A table is only
// a start: what the target says of itself wins, and nothing is used before it was verified (see PythonProcess).
const HeapLayout& layout_for(std::uint32_t version_hex);

}  // namespace memsnap
