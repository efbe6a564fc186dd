#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "snapshot/analysis/call_sums.h"
#include "snapshot/model/allocation_profile.h"

namespace memsnap {

enum class ProfileBy : std::uint8_t { kFunction, kLine, kFile, kModule, kThread, kAllocator };

// What one function, line, ... allocated. Texts that do not fit the grouping are empty.
struct ProfileEntry {
  std::string function;          // or the module, the thread's name, the allocator
  std::string file;              // as the code object says
  std::uint32_t line = 0;        // of a function: that of its lines that allocated most itself, else with all it called
  std::uint32_t first_line = 0;  // of a function
  std::uint32_t tid = 0;
  ProfileFrameKind kind = ProfileFrameKind::kPython;
  BlockTotals own;
  BlockTotals total;  // with all that it called, once for each stack in which it is
};

// What was allocated without a stack is an entry of its own, kNoStack. `column` has an entry for each row.
inline constexpr std::string_view kNoStack = "(no Python stack)";
inline constexpr std::string_view kCutStack = "(further out)";
std::vector<ProfileEntry> profile_totals(const AllocationProfile& profile, const std::vector<BlockTotals>& column,
                                         ProfileBy by, bool hide_imports);

// How a program would import the file: "shop.cart"; of a file outside of all known folders, its name.
std::string module_of_file(std::string_view file);
// Without the folders that say nothing: "json/decoder.py", and two parts of all others.
std::string_view short_path(std::string_view file);

}  // namespace memsnap
