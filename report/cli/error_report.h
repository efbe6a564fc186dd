#pragma once

#include <sys/types.h>

#include <exception>
#include <string>
#include <string_view>

#include "attach/base/error.h"

namespace memsnap {

// {"schema":"memsnap.error/1",...} and a newline. `pid` 0: not about one process.
std::string error_json(const Error& error, pid_t pid);
// What no part of memsnap foresaw: too little memory is a limit, all else a bug.
Error error_from(const std::exception& error);
// A stable word for logs: "not_permitted".
std::string_view event_of(ExitCode code);

}  // namespace memsnap
