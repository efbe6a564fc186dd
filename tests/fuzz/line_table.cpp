#include "snapshot/cpython/line_table.h"

#include <span>

#include "tests/fuzz/fuzz_input.h"

// The table of a code object that says which line an instruction is of: form, first line, address, table.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  memsnap::FuzzInput input(data, size);
  const auto form = static_cast<memsnap::LineTableForm>(input.take<std::uint8_t>() % 3);
  const auto first_line = input.take<std::int32_t>();
  const auto address = input.take<std::int64_t>();
  const auto table = input.rest();
  (void)memsnap::line_of(form, table, first_line, address);
  for (const std::int64_t at : {-1, 0, 2, 100}) (void)memsnap::line_of(form, table, first_line, at);
  return 0;
}
