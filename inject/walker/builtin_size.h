#pragma once

#include <cstdint>

#include "inject/protocol/heap_layout.h"
#include "inject/protocol/walker_abi.h"
#include "inject/walker/dict_size.h"
#include "inject/walker/size_sum.h"

namespace memsnap::walker {

// As many items as ob_size says.
template <class Memory>
bool add_items(const Memory& memory, const HeapLayout& layout, std::uint64_t object, std::uint64_t item_size,
               SizeSum& sum) {
  std::int64_t count = 0;
  if (!memory.read(object + layout.object.ob_size, &count)) return false;
  sum.add_signed(count, item_size);
  return true;
}

// object.__sizeof__: basicsize and items, if the type has any.
template <class Memory>
bool plain_size(const Memory& memory, const HeapLayout& layout, const TypeRecord& type, std::uint64_t object,
                SizeSum& sum) {
  sum.add(type.basic_size);
  return type.item_size == 0 || add_items(memory, layout, object, type.item_size, sum);
}

// basicsize, and a number of items of one size that the object itself holds.
template <class Memory>
bool counted_size(const Memory& memory, const TypeRecord& type, std::uint64_t count_at, std::uint64_t item_size,
                  SizeSum& sum) {
  std::int64_t count = 0;
  if (!memory.read(count_at, &count)) return false;
  sum.add(type.basic_size);
  sum.add_signed(count, item_size);
  return true;
}

template <class Memory>
bool text_size(const Memory& memory, const HeapLayout& layout, std::uint64_t object, SizeSum& sum) {
  const auto& at = layout.text;
  std::uint64_t length = 0;
  std::uint32_t state = 0;
  if (!memory.read(object + at.length, &length) || !memory.read(object + at.state, &state)) return false;
  const std::uint64_t kind = state >> at.kind_shift & 7;
  const bool compact = (state >> at.compact_shift & 1) != 0;
  const bool ascii = compact && (state >> at.ascii_shift & 1) != 0;
  std::uint64_t data = object + (ascii ? at.ascii_size : at.compact_size);
  if (!compact && !memory.read(object + at.data, &data)) return false;
  sum.add(ascii ? at.ascii_size : compact ? at.compact_size : at.full_size);
  if (data != 0 && length < kMaxObjectSize) sum.add(length + 1, kind);
  if (length >= kMaxObjectSize) return false;
  if (at.wstr != 0) {
    std::uint64_t wide = 0;
    std::uint64_t wide_length = length;
    if (!memory.read(object + at.wstr, &wide)) return false;
    if (wide != 0 && wide != data) {
      if (!ascii && !memory.read(object + at.wstr_length, &wide_length)) return false;
      if (wide_length >= kMaxObjectSize) return false;
      sum.add(wide_length + 1, 4);
    }
  }
  if (ascii) return true;
  std::uint64_t utf8 = 0;
  std::uint64_t utf8_length = 0;
  if (!memory.read(object + at.utf8, &utf8) || !memory.read(object + at.utf8_length, &utf8_length)) return false;
  if (utf8 == 0 || utf8 == data) return true;
  if (utf8_length >= kMaxObjectSize) return false;
  sum.add(utf8_length + 1);
  return true;
}

template <class Memory>
bool integer_size(const Memory& memory, const HeapLayout& layout, std::uint64_t object, SizeSum& sum) {
  std::int64_t tag = 0;
  if (!memory.read(object + layout.integer.tag, &tag)) return false;
  auto digits = static_cast<std::uint64_t>(tag);
  if (layout.integer.tag_shift != 0) {
    digits >>= layout.integer.tag_shift;
  } else if (tag < 0) {
    digits = 0 - digits;
  }
  if (digits == 0) digits = layout.sizes.zero_has_a_digit;
  sum.add(layout.integer.digits);
  sum.add(digits, 4);
  return true;
}

template <class Memory>
bool bytearray_size(const Memory& memory, const HeapLayout& layout, const TypeRecord& type, std::uint64_t object,
                    SizeSum& sum) {
  std::int64_t allocated = 0;
  if (!memory.read(object + layout.sequence.bytearray_alloc, &allocated)) return false;
  sum.add(type.basic_size);
  sum.add_signed(allocated, 1);
  if (allocated > 0) sum.add(layout.sizes.bytearray_header);
  return true;
}

template <class Memory>
bool set_size(const Memory& memory, const HeapLayout& layout, const TypeRecord& type, std::uint64_t object,
              SizeSum& sum) {
  constexpr std::uint64_t kEntry = 16;
  std::uint64_t table = 0;
  std::uint64_t mask = 0;
  if (!memory.read(object + layout.set.table, &table) || !memory.read(object + layout.set.mask, &mask)) return false;
  sum.add(type.basic_size);
  if (mask >= kMaxObjectSize) return false;
  if (table != object + layout.set.smalltable) sum.add(mask + 1, kEntry);
  return true;
}

template <class Memory>
bool type_size(const Memory& memory, const HeapLayout& layout, const TypeRecord& type, std::uint64_t object,
               bool heap_type, SizeSum& sum) {
  if (type.extra != 0) {  // ctypes: its own __sizeof__ leaves out the keys
    std::int32_t initialized = 0;
    sum.add(type.basic_size);
    if (!memory.read(object + type.extra, &initialized)) return false;
    return initialized == 0 || add_ctypes_parts(memory, layout, object + type.extra, sum);
  }
  if (!heap_type) {
    sum.add(layout.type.size);
    return true;
  }
  std::uint64_t keys = 0;
  std::uint64_t keys_size = 0;
  if (!memory.read(object + layout.type.ht_cached_keys, &keys)) return false;
  if (keys != 0 && !dict_keys_size(memory, layout, keys, &keys_size)) return false;
  sum.add(layout.type.heap_size);
  sum.add(keys_size);
  return true;
}

}  // namespace memsnap::walker
