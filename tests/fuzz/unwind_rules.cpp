#include "inject/control/unwind_rules.h"

#include <span>

#include "tests/fuzz/fuzz_input.h"

// .eh_frame of a library as it lies in the target's memory. The rows ascend, or the agent would search them wrongly.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t kTables = 0x700000;
  constexpr std::uint64_t kCode = 0x400000;
  constexpr std::uint64_t kEnd = 0x800000;
  const memsnap::UnwindRows made = memsnap::compile_unwind_rules(
      {.bytes = std::as_bytes(std::span(data, size)), .address = kTables, .begin = kCode, .end = kEnd});
  for (std::size_t i = 1; i < made.rows.size(); ++i) memsnap::require(made.rows[i - 1].offset < made.rows[i].offset);
  for (const std::uint64_t at : {std::uint64_t{0}, std::uint64_t{0x100}, std::uint64_t{0x140}, kEnd - kCode})
    (void)memsnap::rule_for(made.rows, at);
  return 0;
}
