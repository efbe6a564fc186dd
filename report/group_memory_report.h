#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/report.h"

namespace memsnap {

// One process of a server: the kernel's figures, in bytes.
struct GroupMember {
  std::int32_t pid = 0;
  std::int32_t parent = 0;
  std::string command_line;
  std::uint64_t rss = 0;
  std::uint64_t pss = 0;
  std::uint64_t uss = 0;
  std::uint64_t copy_on_write = 0;  // anonymous, and still shared since a fork
};

// memsnap.memory_group/1: each process, what they have together, and what they share. The sum of PSS is what they cost
// the machine, as far as nobody else shares with them.
Report make_group_memory(std::vector<GroupMember> members);

}  // namespace memsnap
