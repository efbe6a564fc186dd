#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace memsnap {

using StringId = std::uint32_t;  // 0 is the empty string

// Interned texts: one copy each, 32-bit ids, one buffer. At most 4 GiB of text; add() returns 0 beyond that.
class StringTable {
 public:
  StringTable();
  // Takes what a file holds: all texts in a row, and where each begins (size() + 1 offsets). Throws
  // std::invalid_argument when the offsets do not fit the buffer or id 0 is not empty. Texts may repeat: add() then
  // finds the first one.
  StringTable(std::string buffer, std::vector<std::uint32_t> begin);

  StringId add(std::string_view text);
  std::optional<StringId> find(std::string_view text) const;
  std::string_view text(StringId id) const;  // empty for an id that is not in the table
  std::size_t size() const { return begin_.size() - 1; }

  const std::string& buffer() const { return buffer_; }
  const std::vector<std::uint32_t>& begin() const { return begin_; }

 private:
  std::size_t slot_of(std::string_view text) const;  // where it is, or the free slot it belongs in
  void index(std::size_t slots) const;

  std::string buffer_;
  std::vector<std::uint32_t> begin_;
  // Open addressing over ids; the texts are in the buffer only. Built at the first add() or find() after a load.
  mutable std::vector<StringId> slots_;
};

}  // namespace memsnap
