#pragma once

#include <sys/types.h>

#include <string>

namespace memsnap {

// Files of one tracking session, named after its capture: FILE.msnap.
std::string path_of_first(const std::string& path);               // FILE-before.msnap: the snapshot before tracking
std::string path_of_child(const std::string& path, pid_t child);  // FILE-PID.msnap
std::string path_of_log(const std::string& path);                 // FILE.log: what a keeper says
// FILE-1.msnap and so on: the first from `number` on that is not there yet, or with `replace` FILE-`number`.msnap.
std::string path_on_demand(const std::string& path, unsigned& number, bool replace);

}  // namespace memsnap
