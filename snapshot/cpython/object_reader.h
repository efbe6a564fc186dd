#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attach/process_memory.h"
#include "inject/protocol/heap_layout.h"

namespace memsnap {

// Bits of tp_flags that mean the same in every release from 3.8 on.
inline constexpr std::uint64_t kFlagHeapType = 1ull << 9;
inline constexpr std::uint64_t kFlagReady = 1ull << 12;
inline constexpr std::uint64_t kFlagHaveGc = 1ull << 14;
inline constexpr std::uint64_t kFlagLong = 1ull << 24;
inline constexpr std::uint64_t kFlagList = 1ull << 25;
inline constexpr std::uint64_t kFlagTuple = 1ull << 26;
inline constexpr std::uint64_t kFlagBytes = 1ull << 27;
inline constexpr std::uint64_t kFlagUnicode = 1ull << 28;
inline constexpr std::uint64_t kFlagDict = 1ull << 29;
inline constexpr std::uint64_t kFlagType = 1ull << 31;

// Where the characters of a str, or the bytes of a bytes object, are.
struct ValuePlace {
  std::uint64_t address = 0;
  std::uint64_t count = 0;
  unsigned unit = 1;  // bytes a character: 1, 2 or 4
};

// Values of single objects of the target, for the few that memsnap must understand: names, numbers, dicts by key.
// Everything is checked before use and capped: a forged object gives an empty optional or fewer entries.
class ObjectReader {
 public:
  // Both must outlive the reader.
  ObjectReader(const ProcessMemory& memory, const HeapLayout& layout) : memory_(memory), layout_(layout) {}

  std::optional<std::uint64_t> type_of(std::uint64_t object) const;
  std::uint64_t type_flags(std::uint64_t type) const;  // 0 when unreadable
  // True when the object's type has this subclass bit.
  bool is(std::uint64_t object, std::uint64_t flag) const;

  // A str as UTF-8: its first `limit` characters. Lone surrogates become U+FFFD.
  std::optional<std::string> text(std::uint64_t object, std::size_t limit = 1024) const;
  // For objects whose type is known to be str, or bytes.
  std::optional<ValuePlace> characters_of(std::uint64_t text) const;
  std::optional<ValuePlace> bytes_of(std::uint64_t bytes) const;
  bool text_equals(std::uint64_t object, std::string_view ascii) const;
  // An int that fits 60 bits.
  std::optional<std::int64_t> integer(std::uint64_t object) const;
  // The items of a list or tuple, NULL ones too, at most `limit`.
  std::vector<std::uint64_t> items(std::uint64_t object, std::size_t limit = 1u << 20) const;

  // Calls `visit(key, value)` for each entry of a dict in order until it returns false or `limit` slots were looked at.
  // False when the dict cannot be read.
  using DictVisitor = std::function<bool(std::uint64_t key, std::uint64_t value)>;
  bool for_each_entry(std::uint64_t dict, const DictVisitor& visit, std::size_t limit = 1u << 20) const;
  // The value of a str key.
  std::optional<std::uint64_t> find(std::uint64_t dict, std::string_view key) const;

  const ProcessMemory& memory() const { return memory_; }
  const HeapLayout& layout() const { return layout_; }

 private:
  struct Keys {
    std::uint64_t entries = 0;  // address of the first entry
    std::uint64_t used = 0;     // entries in use, deleted ones too
    std::uint64_t stride = 0;
    std::uint64_t key_offset = 0;
  };
  std::optional<Keys> read_keys(std::uint64_t keys) const;

  const ProcessMemory& memory_;
  const HeapLayout& layout_;
};

}  // namespace memsnap
