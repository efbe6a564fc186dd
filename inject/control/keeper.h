#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "inject/protocol/agent_abi.h"

namespace memsnap {

// Clock ticks since boot, field 22 of proc_pid_stat(5). Empty: there is no such process.
std::optional<std::uint64_t> start_time_of(pid_t pid);
// The inode of its pid namespace; 0: it cannot be seen.
std::uint64_t pid_namespace(pid_t pid);

// Descriptors of a process that are open on an agent's tables: of one file, or of any when `inode` is 0.
std::vector<int> open_tables(pid_t pid, std::uint64_t inode);

// Whether it is a memsnap that holds such a descriptor: the keeper of these tables, or one that only reads them.
bool is_of_memsnap(pid_t pid, int file);

// Which memsnap holds tables.
struct Keeper {
  pid_t pid = 0;  // as we see it; 0: none that we see
  // It is of another pid namespace, and not to be seen from here: only whether the lease is renewed says if it lives.
  bool elsewhere = false;
};
// `header` is what the tables say, and hostile; `inode` is theirs. A process is believed to be the keeper when it began
// when the header says and has the tables open, or is another user's, so that this cannot be seen.
Keeper find_keeper(const AgentHeader& header, std::uint64_t inode);

}  // namespace memsnap
