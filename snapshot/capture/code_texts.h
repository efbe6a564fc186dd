#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "inject/protocol/agent_abi.h"
#include "snapshot/capture/table_reader.h"
#include "snapshot/cpython/line_table.h"
#include "snapshot/model/string_table.h"

namespace memsnap {

// What the tables say of the code objects that ran: names as UTF-8, each once, and the lines of instructions.
class CodeTexts {
 public:
  // Both must outlive this. `strings` gets the names.
  CodeTexts(const TableReader& tables, StringTable& strings);

  void refresh();  // takes in what the agent has written since

  struct Names {
    StringId function = 0;
    StringId file = 0;
    std::uint32_t first_line = 0;
  };
  // Empty: the agent has not written it yet, or there is no such code.
  std::optional<Names> names(std::uint32_t code) const;
  // 0: the instruction has no line, or it cannot be told.
  std::uint32_t line(std::uint32_t code, std::uint64_t instruction);

 private:
  struct Entry {
    bool known = false;
    AgentCode code{};
    Names names;
  };
  Names read_names(const AgentCode& code);
  StringId read_text(std::uint64_t offset, std::uint32_t length, std::uint8_t unit);
  bool spend(std::uint64_t bytes);  // false: more was read than an honest agent has written
  std::int64_t position(const AgentCode& code, std::uint64_t instruction) const;

  const TableReader& tables_;
  StringTable& strings_;
  LineTableForm form_;
  std::vector<Entry> entries_;
  std::uint32_t settled_ = 0;  // all codes before it are known
  std::uint64_t budget_;       // bytes of names
  std::uint64_t line_budget_;  // bytes of line tables that may still be decoded
};

}  // namespace memsnap
