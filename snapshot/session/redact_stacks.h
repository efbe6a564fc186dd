#pragma once

#include <string>
#include <vector>

#include "snapshot/model/thread_stacks.h"

namespace memsnap {

// Replaces what matches in every text of the stacks: names of threads and functions, files, waits.
void redact_stacks(ThreadStacks& stacks, const std::vector<std::string>& expressions);

}  // namespace memsnap
