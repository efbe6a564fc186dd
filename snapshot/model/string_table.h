#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace memsnap {

using StringId = std::uint32_t;  // 0 is the empty string

// Interned texts: one copy each, 32-bit ids, one buffer. At most 4 GiB of text; add() returns 0 beyond that.
class StringTable {
 public:
  StringTable();
  StringId add(std::string_view text);
  std::string_view text(StringId id) const;  // empty for an id that is not in the table
  std::size_t size() const { return begin_.size() - 1; }

 private:
  std::string buffer_;
  std::vector<std::uint32_t> begin_;  // size() + 1 offsets
  std::unordered_multimap<std::size_t, StringId> ids_;  // by hash of the text
};

}  // namespace memsnap
