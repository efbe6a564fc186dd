#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "attach/memory_map.h"
#include "attach/process_id.h"

namespace memsnap {

// What of a process tracking could change, before and after.
struct Fingerprint {
  std::vector<Mapping> mappings;
  std::size_t agents = 0;                    // find_agents()
  std::map<std::string, std::string> files;  // what each descriptor is open on, by number
  struct Signals {
    std::string blocked;
    std::string ignored;
    std::string caught;
  };
  std::map<pid_t, Signals> threads;
  std::map<std::uint64_t, std::uint64_t> function_words;  // of all libraries, by address
  std::map<std::uint64_t, std::uint64_t> allocator_words;
};

// Without stopping it. `allocators`: addresses of CPython's allocator structs.
Fingerprint take_fingerprint(const ProcessId& target, const std::vector<std::uint64_t>& allocators);

// What is not as it was, one line each. A process that runs maps, opens and starts things of its own: then only what
// memsnap could have done counts. With `still` everything does.
std::vector<std::string> differences(const Fingerprint& before, const Fingerprint& after, bool still);

}  // namespace memsnap
