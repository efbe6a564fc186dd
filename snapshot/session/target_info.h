#pragma once

#include <sys/types.h>

#include "snapshot/model/snapshot.h"

namespace memsnap {

// What /proc says of a process, without touching it. Fields that cannot be read stay empty.
TargetInfo read_target_info(pid_t pid);

}  // namespace memsnap
