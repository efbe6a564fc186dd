#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "inject/protocol/native_abi.h"

namespace memsnap {

// The unwind tables of one library as they lie in memory: .eh_frame, from its begin to wherever it may end.
struct UnwindTables {
  std::span<const std::byte> bytes;
  std::uint64_t address = 0;  // of the first byte
  std::uint64_t begin = 0;    // the library
  std::uint64_t end = 0;      // at most 4 GiB behind
};

// Makes rows of them, ascending; where there is no function that has a rule, a row says so. What cannot be understood
// is left out or becomes UnwindKind::kUnknown: the tables are hostile input. `functions`: where each one with a rule
// begins and ends, ascending.
struct UnwindRows {
  std::vector<AgentRule> rows;
  std::vector<AgentCodeRange> functions;
};
UnwindRows compile_unwind_rules(const UnwindTables& tables);

// The rule for an address; kNone where there is none.
UnwindRule rule_for(const std::vector<AgentRule>& rows, std::uint64_t offset);

}  // namespace memsnap
