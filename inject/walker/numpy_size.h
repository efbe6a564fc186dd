#pragma once

#include <cstdint>

#include "inject/protocol/heap_layout.h"
#include "inject/walker/size_sum.h"

namespace memsnap::walker {

// basicsize of ndarray, to which 1.20 added fields.
inline constexpr std::uint32_t kNumpyArrayBefore120 = 80;

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
