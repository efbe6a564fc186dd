#pragma once

#include <cstdint>

#include "inject/agent/tables.h"

namespace memsnap::agent {

template <class T>
T read_at(std::uint64_t address) {
  struct __attribute__((packed, may_alias)) Unaligned {
    T value;
  };
  return reinterpret_cast<const Unaligned*>(address)->value;
}
inline std::uint64_t word_at(std::uint64_t address) { return read_at<std::uint64_t>(address); }

// Some of a string's characters and its length: cheap, and rarely the same for two that ever share an address.
inline std::uint64_t text_sample(const HeapLayout& layout, std::uint64_t text) {
  const std::uint64_t length = word_at(text + layout.text.length);
  const auto state = read_at<std::uint8_t>(text + layout.text.state);
  if ((state >> layout.text.compact_shift & 1) == 0 || length == 0) return length;
  const std::uint64_t last =
      word_at(text + layout.text.ascii_size + length - 8);  // of a short one, behind other fields
  return mixed(length ^ (length < 8 ? last >> (64 - 8 * length) : last));
}

// Tells a code object from another that was at the same address before it. From 3.12 on each has a number of its own.
[[gnu::always_inline]] inline std::uint64_t fingerprint_of(const HeapLayout& layout, std::uint64_t code) {
  constexpr std::uint32_t kFirstWithVersion = 0x030c0000;
  const std::uint64_t file = word_at(code + layout.code.co_filename);
  const std::uint64_t name = word_at(code + layout.code.co_name);
  const std::uint64_t table = word_at(code + layout.code.co_linetable);
  const std::uint64_t objects = (file * 3 + name) * 5 + table;
  const auto line = read_at<std::uint32_t>(code + layout.code.co_firstlineno);
  if (layout.since >= kFirstWithVersion) {
    // co_version follows co_nfreevars.
    const auto version = read_at<std::uint32_t>(code + layout.code.co_nfreevars + 4);
    return objects ^ (static_cast<std::uint64_t>(version) << 32 | line);
  }
  const std::uint64_t table_size = word_at(table + layout.object.ob_size);
  return mixed(objects + text_sample(layout, file) * 7 + text_sample(layout, name)) ^ (table_size << 32 | line);
}

// As much, together with an instruction of the code, and less to read: from 3.12 on. The numbers end after 2^32 codes.
[[gnu::always_inline]] inline std::uint64_t numbered_of(const HeapLayout& layout, std::uint64_t code) {
  const auto version = read_at<std::uint32_t>(code + layout.code.co_nfreevars + 4);
  const auto line = read_at<std::uint32_t>(code + layout.code.co_firstlineno);
  return word_at(code + layout.code.co_name) ^ (static_cast<std::uint64_t>(version) << 32 | line);
}

// The index of a code object's record, made when it is first seen. 0: not a code object, or no room.
[[gnu::noinline]] std::uint32_t code_of(std::uint64_t code, std::uint64_t fingerprint);

[[gnu::always_inline]] inline std::uint32_t code_of(ThreadCache& self, std::uint64_t code) {
  const std::uint64_t fingerprint = fingerprint_of(config.layout, code);
  static_assert(kKnownCodes == 256);
  ThreadCache::KnownCode& known = self.known_codes[code * 0x9e3779b97f4a7c15ull >> 56];
  if (known.address == code && known.fingerprint == fingerprint) [[likely]]
    return known.index;
  const std::uint32_t index = code_of(code, fingerprint);
  if (index != 0) known = {.address = code, .fingerprint = fingerprint, .index = index};
  return index;
}

}  // namespace memsnap::agent
