#pragma once

#include <cstdint>
#include <vector>

#include "snapshot/cpython/object_reader.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// What a type's objects are compared by.
enum class ValueKind : std::uint8_t { kNone, kText, kBytes };

// How many str and bytes objects have a value that another one has too, and the bytes that would be saved if each value
// were there once. Only these totals are kept. `kinds[type]`; values longer than 1 MiB are compared by their beginning
// and length.
std::vector<NamedCount> count_duplicates(const HeapGraph& graph, const ObjectReader& reader,
                                         const std::vector<ValueKind>& kinds);

}  // namespace memsnap
