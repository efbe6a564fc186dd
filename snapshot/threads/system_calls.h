#pragma once

#include <cstdint>
#include <string>

namespace memsnap {

// The name of an x86-64 system call, as in its manual page; "system call 9999" for one that is not known.
std::string system_call_name(std::int64_t number);

// Those whose first argument is a file descriptor, of the calls in which threads wait.
bool takes_descriptor(std::int64_t number);

}  // namespace memsnap
