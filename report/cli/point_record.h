#pragma once

#include <string>

#include "report/cli/command.h"
#include "snapshot/model/snapshot.h"
#include "snapshot/points/point_log.h"

namespace memsnap {

// What point and snapshot --point have in common.

inline constexpr const char* kFirstPointId = "memsnap attach";

// Throws Error kUsage for an id or a note that a point cannot have.
void check_point_texts(const std::string& id, const std::string& note);

// The log of a process in the default directory, which is made.
std::string default_point_log(const Invocation& invocation, const ProcessKey& process);

// A point with the figures of a snapshot that was just taken, in the default log.
void record_snapshot_point(const Invocation& invocation, const SnapshotHeader& header, const std::string& id);

}  // namespace memsnap
