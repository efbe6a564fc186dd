#pragma once

#include <array>
#include <cstdint>

#include "attach/base/log.h"
#include "attach/frozen_process.h"
#include "snapshot/cpython/python_process.h"
#include "snapshot/model/snapshot.h"
#include "snapshot/session/take_snapshot.h"

namespace memsnap {

// Walks a process that stands still and fills the graph and what the header says of it. `hash_key`: for
// StringsPolicy::kHash.
void walk_into(Snapshot& snapshot, FrozenProcess& frozen, const PythonProcess& python, const SnapshotRequest& request,
               const std::array<std::uint64_t, 2>& hash_key, Log& log);

// Dominators and retained sizes, where they are asked for.
void analyse(Snapshot& snapshot, const SnapshotRequest& request, Log& log);

}  // namespace memsnap
