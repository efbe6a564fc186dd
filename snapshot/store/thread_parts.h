#pragma once

#include "snapshot/model/thread_stacks.h"
#include "snapshot/store/container.h"

namespace memsnap {

// The two parts that hold what threads were doing. Reading checks every number and throws Error kBadFile.
void write_threads(ContainerWriter& out, const ThreadStacks& stacks);
ThreadStacks read_threads(ContainerReader& in);

}  // namespace memsnap
