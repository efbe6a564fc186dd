#pragma once

#include <cstdint>

#include "inject/protocol/heap_layout.h"
#include "inject/protocol/walker_abi.h"
#include "inject/walker/builtin_size.h"
#include "inject/walker/code_size.h"
#include "inject/walker/dict_size.h"
#include "inject/walker/library_size.h"
#include "inject/walker/numpy_size.h"
#include "inject/walker/size_sum.h"
#include "inject/walker/stream_size.h"

// What sys.getsizeof says of an object with the built-in __sizeof__ of its kind. Compiled both into the walker inside
// the frozen child, where memory.read is a plain load, and outside, where every value may be forged and every read may
// fail. Freestanding: no calls out, no globals.
namespace memsnap::walker {

// Kinds whose __sizeof__ starts from basicsize and adds what the object owns.
template <class Memory>
bool add_owned_parts(const Memory& memory, const HeapLayout& layout, const TypeRecord& type, std::uint64_t object,
                     SizeSum& sum) {
  switch (type.kind) {
    case TypeKind::kDict:
      return add_dict_parts(memory, layout, object, sum) &&
             (type.extra == 0 || add_stg_dict_parts(memory, layout, object, sum));
    case TypeKind::kOrderedDict:
      return add_ordered_dict_parts(memory, layout, object, sum);
    case TypeKind::kDeque:
      return add_deque_parts(memory, layout, object, sum);
    case TypeKind::kArray:
      return add_array_parts(memory, object, sum);
    case TypeKind::kBytesIo:
      return add_bytes_io_parts(memory, layout, object, sum);
    case TypeKind::kBuffered:
      return add_buffered_parts(memory, object, sum);
    case TypeKind::kDecimal:
      return add_decimal_parts(memory, object, sum);
    case TypeKind::kStruct:
      return add_struct_parts(memory, object, sum);
    case TypeKind::kPickler:
      return add_pickler_parts(memory, layout, object, type.base_size, sum);
    case TypeKind::kUnpickler:
      return add_unpickler_parts(memory, object, type.base_size, sum);
    case TypeKind::kElement:
      return add_element_parts(memory, object, sum);
    case TypeKind::kProduct:
    case TypeKind::kCombinations:
    case TypeKind::kPermutations:
      return add_itertools_parts(memory, layout, type.kind, object, sum);
    case TypeKind::kBytes:  // numpy.bytes_ counts its value twice
      if (type.extra != kSizedByObSize) return true;
      return add_items(memory, layout, object, 1, sum);
    case TypeKind::kLeaf:
    case TypeKind::kGeneric:
      if (type.extra == kSizedByObSize) return add_items(memory, layout, object, 1, sum);
      sum.add(type.extra);
      return true;
    default:
      return true;
  }
}

// Everything but what lies before the object.
template <class Memory>
bool own_size(const Memory& memory, const HeapLayout& layout, const TypeRecord& type, std::uint64_t object,
              bool heap_type, SizeSum& sum) {
  switch (type.kind) {
    case TypeKind::kText:
      return text_size(memory, layout, object, sum);
    case TypeKind::kInteger:
      return integer_size(memory, layout, object, sum);
    case TypeKind::kList:
      return counted_size(memory, type, object + layout.sequence.list_allocated, 8, sum);
    case TypeKind::kByteArray:
      return bytearray_size(memory, layout, type, object, sum);
    case TypeKind::kNumpyArray:
      // To numpy 1.19 fields of subclasses are not counted.
      sum.add(type.base_size == kNumpyArrayBefore120 ? type.base_size : type.basic_size);
      return add_numpy_parts(memory, layout, object, sum);
    case TypeKind::kSet:
      return set_size(memory, layout, type, object, sum);
    case TypeKind::kType:
      return type_size(memory, layout, type, object, heap_type, sum);
    case TypeKind::kFrame:
      return frame_size(memory, layout, object, sum);
    case TypeKind::kGenerator:
      return generator_size(memory, layout, type, object, sum);
    case TypeKind::kSimpleQueue:
      if (layout.sizes.queue_capacity == 0) return plain_size(memory, layout, type, object, sum);
      return counted_size(memory, type, object + layout.sizes.queue_capacity, 8, sum);
    case TypeKind::kCode:
      if (!plain_size(memory, layout, type, object, sum)) return false;
      if (type.item_size != 0) sum.round_up(8);
      return add_code_parts(memory, layout, object, sum);
    default:
      return plain_size(memory, layout, type, object, sum) && add_owned_parts(memory, layout, type, object, sum);
  }
}

// False when the object cannot be read, or is none: nothing real is larger than kMaxObjectSize.
template <class Memory>
bool object_size(const Memory& memory, const HeapLayout& layout, const TypeRecord& type, std::uint64_t object,
                 std::uint64_t* size) {
  constexpr std::uint64_t kGcHead = 16;
  constexpr std::uint64_t kHeapType = 1u << 9;  // Py_TPFLAGS_HEAPTYPE
  SizeSum sum(0);
  bool heap_type = false;
  if (type.kind == TypeKind::kType) {
    std::uint64_t flags = 0;
    if (!memory.read(object + layout.type.tp_flags, &flags)) return false;
    heap_type = (flags & kHeapType) != 0;
  }
  if (!own_size(memory, layout, type, object, heap_type, sum)) return false;
  // 3.13 leaves the head out for static types whose type is `type` itself.
  bool without_head = type.kind == TypeKind::kType && !heap_type && layout.sizes.static_types_have_gc == 0;
  if (layout.sizes.refcnt_bytes == 4 && (type.flags & kTypeExact) == 0) without_head = false;
  if ((type.flags & kTypeHasGc) != 0 && !without_head) sum.add(kGcHead);
  if ((type.flags & (kTypeManagedDict | kTypeManagedWeak)) != 0) sum.add(layout.instance.pre_header_words, 8);
  return sum.store(size);
}

}  // namespace memsnap::walker
