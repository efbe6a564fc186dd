#pragma once

#include <cstdint>

#include "inject/protocol/heap_layout.h"
#include "inject/walker/size_sum.h"

// Parts of file objects and picklers, as their __sizeof__ counts them.
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

}  // namespace memsnap::walker
