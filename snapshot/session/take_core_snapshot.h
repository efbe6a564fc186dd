#pragma once

#include <string>

#include "attach/base/log.h"
#include "attach/core_file.h"
#include "snapshot/model/snapshot.h"
#include "snapshot/session/take_snapshot.h"

namespace memsnap {

// Where the files are that a core leaves out.
struct CoreSearch {
  std::string program;  // --exe; empty: searched for
  std::string root;     // --sysroot; empty: our own
};

// Who it was, as the core has it.
TargetInfo describe_target(const CoreFile& core);

// The same snapshot from a core file. Of `request` the process id and how to freeze do not matter. Throws Error:
// kUnsupported when it is no supported CPython's, kBadFile when too little of it is there to tell.
Snapshot take_core_snapshot(const CoreFile& core, const CoreSearch& search, const SnapshotRequest& request, Log& log);

}  // namespace memsnap
