#pragma once

#include <string>
#include <vector>

#include "report/renderer.h"
#include "snapshot/analysis/paths.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

// The paths as one graph in Graphviz's DOT language: same paths, same bytes.
std::string paths_as_dot(const Snapshot& snapshot, NodeIndex target, const std::vector<Path>& paths, Units units);

// As a quoted string of that language: what is not printable is written out, and nothing in it is a command.
std::string dot_text(std::string_view text);

}  // namespace memsnap
