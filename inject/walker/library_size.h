#pragma once

#include <cstdint>

#include "inject/protocol/heap_layout.h"
#include "inject/protocol/walker_abi.h"
#include "inject/walker/size_sum.h"

// Parts of objects of the standard library's C modules, as their __sizeof__ counts them. Offsets that are the same
// from 3.8 to 3.15 are written here, the others are in HeapLayout::Sizes.
namespace memsnap::walker {

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

}  // namespace memsnap::walker
