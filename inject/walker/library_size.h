#pragma once

#include <cstdint>

#include "inject/protocol/heap_layout.h"
#include "inject/protocol/walker_abi.h"
#include "inject/walker/size_sum.h"

// Parts of objects of the standard library's C modules and of numpy, as their __sizeof__ counts them. Offsets that are
// the same from 3.8 to 3.15 are written here, the others are in HeapLayout::Sizes.
namespace memsnap::walker {

// A C string with its end, as long as it is.
template <class Memory>
bool add_c_string(const Memory& memory, std::uint64_t text, SizeSum& sum) {
  constexpr std::uint64_t kLimit = 1u << 24;
  char c = 1;
  for (std::uint64_t i = 0; text != 0 && c != 0; ++i) {
    if (i == kLimit || !memory.read(text + i, &c)) return false;
    sum.add(1);
  }
  return true;
}

// A bytes object that belongs to this object alone.
template <class Memory>
bool add_bytes_object(const Memory& memory, const HeapLayout& layout, std::uint64_t bytes, SizeSum& sum) {
  std::int64_t length = 0;
  if (!memory.read(bytes + layout.object.ob_size, &length)) return false;
  sum.add(layout.sequence.bytes_data + 1u);
  sum.add_signed(length, 1);
  return true;
}

template <class Memory>
bool add_deque_parts(const Memory& memory, const HeapLayout& layout, std::uint64_t object, SizeSum& sum) {
  constexpr std::uint64_t kLeftIndex = 40;
  constexpr std::int64_t kBlockLength = 64;
  constexpr std::uint64_t kBlockSize = 528;
  std::int64_t left = 0;
  std::int64_t count = 0;
  if (!memory.read(object + kLeftIndex, &left) || !memory.read(object + layout.object.ob_size, &count)) return false;
  if (left < 0 || left >= kBlockLength || count < 0 || count > static_cast<std::int64_t>(kMaxObjectSize)) return false;
  sum.add_signed((left + count + kBlockLength - 1) / kBlockLength, kBlockSize);
  return true;
}

template <class Memory>
bool add_array_parts(const Memory& memory, std::uint64_t object, SizeSum& sum) {
  constexpr std::uint64_t kAllocated = 32;
  constexpr std::uint64_t kDescription = 40;
  constexpr std::uint64_t kItemSize = 4;  // in struct arraydescr
  std::int64_t allocated = 0;
  std::uint64_t description = 0;
  std::int32_t item_size = 0;
  if (!memory.read(object + kAllocated, &allocated) || !memory.read(object + kDescription, &description) ||
      !memory.read(description + kItemSize, &item_size) || item_size < 0) {
    return false;
  }
  sum.add_signed(allocated, static_cast<std::uint64_t>(item_size));
  return true;
}

template <class Memory>
bool add_bytes_io_parts(const Memory& memory, const HeapLayout& layout, std::uint64_t object, SizeSum& sum) {
  constexpr std::uint64_t kBuffer = 16;
  std::uint64_t buffer = 0;
  std::uint32_t references = 0;
  std::uint32_t upper_half = 0;
  if (!memory.read(object + kBuffer, &buffer)) return false;
  if (buffer == 0) return true;
  const std::uint64_t count_at = buffer + layout.object.ob_refcnt;
  if (!memory.read(count_at, &references) || !memory.read(count_at + 4, &upper_half)) return false;
  if (layout.sizes.refcnt_bytes == 8 && upper_half != 0) return true;
  // getvalue() shares the buffer.
  return references > 1 || add_bytes_object(memory, layout, buffer, sum);
}

template <class Memory>
bool add_buffered_parts(const Memory& memory, std::uint64_t object, SizeSum& sum) {
  constexpr std::uint64_t kBuffer = 56;
  constexpr std::uint64_t kBufferSize = 120;
  std::uint64_t buffer = 0;
  std::int64_t size = 0;
  if (!memory.read(object + kBuffer, &buffer) || !memory.read(object + kBufferSize, &size)) return false;
  if (buffer != 0) sum.add_signed(size, 1);
  return true;
}

template <class Memory>
bool add_decimal_parts(const Memory& memory, std::uint64_t object, SizeSum& sum) {
  constexpr std::uint64_t kFlags = 24;  // mpd_t
  constexpr std::uint64_t kAllocated = 56;
  constexpr std::uint8_t kNotDynamic = 32 | 64 | 128;  // MPD_STATIC_DATA, MPD_SHARED_DATA, MPD_CONST_DATA
  std::uint8_t flags = 0;
  std::int64_t words = 0;
  if (!memory.read(object + kFlags, &flags) || !memory.read(object + kAllocated, &words)) return false;
  if ((flags & kNotDynamic) == 0) sum.add_signed(words, 8);
  return true;
}

template <class Memory>
bool add_struct_parts(const Memory& memory, std::uint64_t object, SizeSum& sum) {
  constexpr std::uint64_t kCodes = 32;  // s_codes
  constexpr std::uint64_t kCode = 32;   // formatcode; the list ends with one whose first word is NULL
  constexpr std::uint64_t kLimit = 1u << 20;
  std::uint64_t codes = 0;
  std::uint64_t definition = 1;
  if (!memory.read(object + kCodes, &codes)) return false;
  sum.add(kCode);
  if (codes == 0) return true;
  for (std::uint64_t i = 0; i < kLimit; ++i) {
    if (!memory.read(codes + i * kCode, &definition)) return false;
    if (definition == 0) return true;
    sum.add(kCode);
  }
  return false;
}

// `type_size` is the basicsize of the C type: it tells which of the layouts this is, which changed within 3.13.
template <class Memory>
bool add_pickler_parts(const Memory& memory, const HeapLayout& layout, std::uint64_t object, std::uint32_t type_size,
                       SizeSum& sum) {
  constexpr std::uint64_t kMemo = 16;
  constexpr std::uint64_t kOutputFromEnd = 88;
  constexpr std::uint64_t kMemoAllocated = 16;  // in PyMemoTable
  constexpr std::uint64_t kMemoTable = 32;
  constexpr std::uint64_t kMemoEntry = 16;
  std::uint64_t memo = 0;
  std::uint64_t output = 0;
  std::int64_t allocated = 0;
  if (type_size < 144 || !memory.read(object + kMemo, &memo) ||
      !memory.read(object + type_size - kOutputFromEnd, &output)) {
    return false;
  }
  if (memo != 0) {
    if (!memory.read(memo + kMemoAllocated, &allocated)) return false;
    sum.add(kMemoTable);
    sum.add_signed(allocated, kMemoEntry);
  }
  return output == 0 || add_bytes_object(memory, layout, output, sum);
}

struct UnpicklerOffsets {
  std::uint16_t input_line, encoding;  // 0: a layout that is not known
};

constexpr UnpicklerOffsets unpickler_offsets(std::uint32_t type_size) {
  if (type_size == 264) return {144, 216};  // 3.13.0
  if (type_size == 272) return {152, 224};  // to 3.12, and 3.13 from the first fix of persistent_load on
  if (type_size == 296) return {152, 240};  // later 3.13, 3.14
  if (type_size == 304) return {160, 248};  // 3.15
  return {0, 0};
}

template <class Memory>
bool add_unpickler_parts(const Memory& memory, std::uint64_t object, std::uint32_t type_size, SizeSum& sum) {
  constexpr std::uint64_t kMemo = 24;
  constexpr std::uint64_t kMemoSize = 32;
  const UnpicklerOffsets at = unpickler_offsets(type_size);
  std::uint64_t memo = 0;
  std::int64_t memo_size = 0;
  if (!memory.read(object + kMemo, &memo) || !memory.read(object + kMemoSize, &memo_size)) return false;
  if (memo != 0) sum.add_signed(memo_size, 8);
  if (at.encoding == 0) return true;
  std::uint64_t line = 0;
  std::uint64_t encoding = 0;
  std::uint64_t errors = 0;
  std::uint64_t marks = 0;
  std::int64_t marks_size = 0;
  if (!memory.read(object + at.input_line, &line) || !memory.read(object + at.encoding, &encoding) ||
      !memory.read(object + at.encoding + 8, &errors) || !memory.read(object + at.encoding + 16, &marks) ||
      !memory.read(object + at.encoding + 32, &marks_size)) {
    return false;
  }
  if (marks != 0) sum.add_signed(marks_size, 8);
  return add_c_string(memory, line, sum) && add_c_string(memory, encoding, sum) && add_c_string(memory, errors, sum);
}

template <class Memory>
bool add_element_parts(const Memory& memory, std::uint64_t object, SizeSum& sum) {
  constexpr std::uint64_t kExtra = 40;
  constexpr std::uint64_t kExtraSize = 64;
  constexpr std::uint64_t kAllocated = 16;
  constexpr std::uint64_t kChildren = 24;
  constexpr std::uint64_t kStaticChildren = 32;
  std::uint64_t extra = 0;
  std::uint64_t children = 0;
  std::int64_t allocated = 0;
  if (!memory.read(object + kExtra, &extra)) return false;
  if (extra == 0) return true;
  if (!memory.read(extra + kAllocated, &allocated) || !memory.read(extra + kChildren, &children)) return false;
  sum.add(kExtraSize);
  if (children != extra + kStaticChildren) sum.add_signed(allocated, 8);
  return true;
}

// product, combinations, permutations: arrays of indices.
template <class Memory>
bool add_itertools_parts(const Memory& memory, const HeapLayout& layout, TypeKind kind, std::uint64_t object,
                         SizeSum& sum) {
  constexpr std::uint64_t kPool = 16;
  constexpr std::uint64_t kCombinationLength = 40;
  constexpr std::uint64_t kPermutationLength = 48;
  std::int64_t length = 0;
  if (kind != TypeKind::kProduct) {
    const auto at = kind == TypeKind::kCombinations ? kCombinationLength : kPermutationLength;
    if (!memory.read(object + at, &length)) return false;
    sum.add_signed(length, 8);
    if (kind == TypeKind::kCombinations) return true;
  }
  std::uint64_t pool = 0;
  if (!memory.read(object + kPool, &pool)) return false;
  if (pool == 0 || !memory.read(pool + layout.object.ob_size, &length)) return pool == 0;
  sum.add_signed(length, 8);
  return true;
}

// Size of one item of a numpy array, from its dtype.
template <class Memory>
bool numpy_item_size(const Memory& memory, const HeapLayout& layout, std::uint64_t descr, std::int64_t* size) {
  constexpr int kMaxBases = 16;
  constexpr std::int64_t kFirstAbi = 96;  // sizeof(PyArray_Descr) in numpy 1; 88 in numpy 2, which moved elsize
  std::uint64_t type = 0;
  if (!memory.read(descr + layout.object.ob_type, &type)) return false;
  std::int64_t basic_size = 0;
  for (int i = 0; i < kMaxBases; ++i) {
    std::uint64_t base = 0;
    std::int64_t base_size = 0;
    if (!memory.read(type + layout.type.tp_basicsize, &basic_size) || !memory.read(type + layout.type.tp_base, &base)) {
      return false;
    }
    if (base == 0 || !memory.read(base + layout.type.tp_basicsize, &base_size)) return false;
    if (base_size <= 16) break;  // object
    type = base;
  }
  if (basic_size != kFirstAbi) return memory.read(descr + 40, size);
  std::int32_t narrow = 0;
  if (!memory.read(descr + 32, &narrow)) return false;
  *size = narrow;
  return true;
}

template <class Memory>
bool add_numpy_parts(const Memory& memory, const HeapLayout& layout, std::uint64_t object, SizeSum& sum) {
  constexpr std::int32_t kMaxDimensions = 64;
  constexpr std::uint32_t kOwnsData = 4;
  std::int32_t count = 0;
  std::uint32_t flags = 0;
  std::uint64_t dimensions = 0;
  std::uint64_t descr = 0;
  if (!memory.read(object + 24, &count) || !memory.read(object + 32, &dimensions) ||
      !memory.read(object + 56, &descr) || !memory.read(object + 64, &flags)) {
    return false;
  }
  if (count < 0 || count > kMaxDimensions) return false;
  sum.add(static_cast<std::uint64_t>(count), 16);
  if ((flags & kOwnsData) == 0) return true;
  std::int64_t bytes = 0;
  if (!numpy_item_size(memory, layout, descr, &bytes) || bytes < 0) return false;
  for (std::int32_t i = 0; i < count; ++i) {
    std::int64_t length = 0;
    if (!memory.read(dimensions + 8 * static_cast<std::uint64_t>(i), &length) || length < 0) return false;
    if (length != 0 && bytes > static_cast<std::int64_t>(kMaxObjectSize) / length) return false;
    bytes *= length;
  }
  sum.add_signed(bytes, 1);
  return true;
}

}  // namespace memsnap::walker
