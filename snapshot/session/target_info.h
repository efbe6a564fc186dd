#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "snapshot/model/snapshot.h"

namespace memsnap {

// What /proc says of a process, without touching it. Fields that cannot be read stay empty.
TargetInfo read_target_info(pid_t pid);

// The script or module that runs, else the program: "python3 -m shop.web" is shop.web.
std::string short_name(const std::vector<std::string>& arguments);

}  // namespace memsnap
