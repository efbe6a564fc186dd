#pragma once

#include <cstdint>

#include "inject/protocol/heap_layout.h"
#include "inject/protocol/walker_abi.h"
#include "inject/walker/size_sum.h"

namespace memsnap::walker {

// How many entries a keys object of `slots` hash slots has room for.
constexpr std::uint64_t usable_fraction(std::uint64_t slots) { return (slots << 1) / 3; }

// Bytes of a PyDictKeysObject.
template <class Memory>
bool dict_keys_size(const Memory& memory, const HeapLayout& layout, std::uint64_t keys, std::uint64_t* size) {
  constexpr std::uint64_t kMaxSlots = 1ull << 40;
  const auto& form = layout.dict;
  if (form.keys_form == 0) {
    std::uint64_t slots = 0;
    if (!memory.read(keys + form.dk_size, &slots) || slots > kMaxSlots) return false;
    const std::uint64_t index_bytes = slots <= 0xff ? 1 : slots <= 0xffff ? 2 : slots <= 0xffffffff ? 4 : 8;
    *size = form.keys_header + slots * index_bytes + usable_fraction(slots) * 24;
    return true;
  }
  std::uint8_t log2_slots = 0;
  std::uint8_t log2_index_bytes = 0;
  std::uint8_t kind = 0;
  if (!memory.read(keys + form.dk_size, &log2_slots) || !memory.read(keys + form.dk_kind, &kind) ||
      !memory.read(keys + form.dk_log2_index_bytes, &log2_index_bytes)) {
    return false;
  }
  if (log2_slots > 40 || log2_index_bytes > 43) return false;
  const std::uint64_t entry = kind == 0 ? 24 : 16;  // DICT_KEYS_GENERAL keeps the hash
  *size = form.keys_header + (1ull << log2_index_bytes) + usable_fraction(1ull << log2_slots) * entry;
  return true;
}

// Values of a split dict, which has its own; the keys belong to the class unless nothing else refers to them.
template <class Memory>
bool add_dict_parts(const Memory& memory, const HeapLayout& layout, std::uint64_t dict, SizeSum& sum) {
  const auto& form = layout.dict;
  std::uint64_t keys = 0;
  std::uint64_t values = 0;
  std::int64_t references = 0;
  if (!memory.read(dict + form.ma_keys, &keys) || !memory.read(dict + form.ma_values, &values) ||
      !memory.read(keys + form.dk_refcnt, &references)) {
    return false;
  }
  if (values != 0) {
    if (form.keys_form == 0) {
      std::uint64_t slots = 0;
      if (!memory.read(keys + form.dk_size, &slots) || slots > kMaxObjectSize) return false;
      sum.add(usable_fraction(slots), 8);
    } else {
      std::int64_t used = 0;
      std::int64_t usable = 0;
      if (!memory.read(keys + form.dk_nentries, &used) || !memory.read(keys + form.dk_usable, &usable)) return false;
      sum.add_signed(used, 8);
      sum.add_signed(usable, 8);
    }
  }
  if (references != 1) return true;
  std::uint64_t keys_size = 0;
  if (!dict_keys_size(memory, layout, keys, &keys_size)) return false;
  sum.add(keys_size);
  return true;
}

// Beside the dict's own parts: nodes of a doubly linked list, and a table of them as large as the hash table.
template <class Memory>
bool add_ordered_dict_parts(const Memory& memory, const HeapLayout& layout, std::uint64_t object, SizeSum& sum) {
  constexpr std::uint64_t kFirst = 48;  // od_first: behind PyDictObject, the same in every release
  constexpr std::uint64_t kTableSize = 72;
  constexpr std::uint64_t kNodeSize = 32;
  std::uint64_t first = 0;
  std::int64_t table_size = 0;
  std::int64_t used = 0;
  if (!add_dict_parts(memory, layout, object, sum) || !memory.read(object + kFirst, &first) ||
      !memory.read(object + kTableSize, &table_size) || !memory.read(object + layout.dict.ma_used, &used)) {
    return false;
  }
  sum.add_signed(table_size, 8);
  if (first != 0) sum.add_signed(used, kNodeSize);
  return true;
}

// What ctypes keeps of a C type: `info` is the StgInfo in a type object (3.13+) or the tail of a StgDict.
template <class Memory>
bool add_ctypes_parts(const Memory& memory, const HeapLayout& layout, std::uint64_t info, SizeSum& sum) {
  constexpr std::uint64_t kMaxFormat = 1u << 16;
  std::int64_t length = 0;
  std::uint64_t elements = 0;
  std::uint64_t format = 0;
  std::int32_t dimensions = 0;
  const auto& at = layout.sizes;
  if (!memory.read(info + at.stg_length, &length) || !memory.read(info + at.stg_elements, &elements) ||
      !memory.read(info + at.stg_format, &format) || !memory.read(info + at.stg_ndim, &dimensions)) {
    return false;
  }
  sum.add_signed(dimensions, 8);
  if (elements != 0) {
    sum.add(8);  // the end of the list
    sum.add_signed(length, 8);
  }
  char c = 1;
  for (std::uint64_t i = 0; format != 0 && c != 0 && i < kMaxFormat; ++i) {
    if (!memory.read(format + i, &c)) return false;
    sum.add(1);
  }
  return true;
}

template <class Memory>
bool add_stg_dict_parts(const Memory& memory, const HeapLayout& layout, std::uint64_t object, SizeSum& sum) {
  constexpr std::uint64_t kTail = 48;  // behind PyDictObject
  sum.add(144);                        // StgDict.__sizeof__ counts its tail twice
  return add_ctypes_parts(memory, layout, object + kTail, sum);
}

}  // namespace memsnap::walker
