#pragma once

#include <string>
#include <vector>

#include "snapshot/model/snapshot.h"

namespace memsnap {

// Replaces what matches in every text of the target: names of types, attributes, modules, threads and functions, files,
// waits, the command line. Kept values of str objects are done before they are cut (keep_texts). Nothing changes when
// it is done again.
void redact(Snapshot& snapshot, const std::vector<std::string>& expressions);

}  // namespace memsnap
