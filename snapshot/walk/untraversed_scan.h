#pragma once

#include <cstdint>
#include <utility>

#include "inject/protocol/walker_abi.h"

namespace memsnap {

// What only tp_traverse tells the walk in the child of an object: where no code may run, from the structs of the
// standard library's containers, else by testing each word of the object's C fields.
//
// Memory and Sink are ObjectScan's (inject/walker/object_scan.h); of Sink also:
//   void field(std::uint64_t target, std::string_view name);      known to be a reference
//   void guessed(std::uint64_t target, std::uint64_t offset);     a word that points to an object
template <class Memory, class Sink>
class UntraversedScan {
 public:
  UntraversedScan(const Memory& memory, const HeapLayout& layout, Sink& sink)
      : memory_(memory), layout_(layout), sink_(sink) {}

  void scan(const TypeRecord& type, std::uint64_t object) {
    switch (type.kind) {
      case TypeKind::kDeque:
        return scan_deque(object);
      case TypeKind::kElement:
        return scan_element(object);
      case TypeKind::kModule:
        return scan_module(object);
      case TypeKind::kWeakReference:  // the words beside it link the references to one object, which do not own it
        return known(object, 24, "callback");
      case TypeKind::kFunction:
        return scan_function(object);
      case TypeKind::kGenerator:
        return scan_words(type, object, kFirstField,
                          layout_.generator.frame != 0 ? layout_.generator.frame : type.basic_size);
      case TypeKind::kFrame:
        if (layout_.frame_object.f_trace != 0) known(object, layout_.frame_object.f_trace, "f_trace");
        return;
      case TypeKind::kType:  // what a metaclass of C adds to each class
        return scan_words(type, object, layout_.type.heap_size, type.basic_size);
      default:
        if (has_untold_fields(type)) scan_words(type, object, kFirstField, type.basic_size + items_of(type, object));
    }
  }

 private:
  static constexpr std::uint64_t kFirstField = 16;
  static constexpr std::uint64_t kMaxFields = 16384;  // bytes of C fields that are tested
  static constexpr std::uint64_t kMaxItems = 1u << 24;

  std::uint64_t word(std::uint64_t address) const {
    std::uint64_t read = 0;
    return memory_.read(address, &read) ? read : 0;
  }

  static bool has_untold_fields(const TypeRecord& type) {
    switch (type.kind) {
      case TypeKind::kGeneric:
      case TypeKind::kMemoryView:
      case TypeKind::kBytesIo:
      case TypeKind::kStringIo:
      case TypeKind::kBuffered:
      case TypeKind::kStruct:
      case TypeKind::kPickler:
      case TypeKind::kUnpickler:
      case TypeKind::kGreenlet:
      case TypeKind::kDictKeysView:
      case TypeKind::kProduct:
      case TypeKind::kCombinations:
      case TypeKind::kPermutations:
      case TypeKind::kSimpleQueue:
        return true;
      case TypeKind::kList:
      case TypeKind::kTuple:
      case TypeKind::kDict:
      case TypeKind::kOrderedDict:
      case TypeKind::kSet:
      case TypeKind::kText:
      case TypeKind::kBytes:
      case TypeKind::kInteger:
        return (type.flags & kTypeExact) == 0;  // a subclass, perhaps one of C
      default:
        return false;
    }
  }

  // Bytes of references behind the fields of a variable-sized object of C.
  std::uint64_t items_of(const TypeRecord& type, std::uint64_t object) const {
    if (type.kind != TypeKind::kGeneric || type.item_size != 8) return 0;
    const std::uint64_t count = word(object + layout_.object.ob_size);
    return count > kMaxItems ? 0 : 8 * count;
  }

  void known(std::uint64_t object, std::uint64_t offset, const char* name) {
    const std::uint64_t target = word(object + offset);
    if (target != 0 && sink_.is_plausible(target)) sink_.field(target, name);
  }

  void scan_words(const TypeRecord& type, std::uint64_t object, std::uint64_t begin, std::uint64_t end) {
    const std::uint64_t weak_list = type.weaklist_offset > 0 ? static_cast<std::uint64_t>(type.weaklist_offset) : 0;
    const std::uint64_t limit = type.basic_size < kMaxFields ? end : kMaxFields;
    sink_.unnamed_part();
    for (std::uint64_t at = (begin + 7) & ~7ull; at + 8 <= limit; at += 8) {
      std::uint64_t target = 0;
      if (!memory_.read(object + at, &target)) return;
      if (target != 0 && at != weak_list && sink_.is_plausible(target)) sink_.guessed(target, at);
    }
  }

  // Modules/_collectionsmodule.c: a list of blocks of 64 items between two links.
  void scan_deque(std::uint64_t object) {
    constexpr std::uint64_t kBlock = 64;
    constexpr std::uint64_t kRightLink = 8 + 8 * kBlock;
    const std::uint64_t count = word(object + layout_.object.ob_size);
    std::uint64_t block = word(object + 24);
    std::uint64_t index = word(object + 40);
    std::uint64_t milestone = block;  // Brent's way of noticing a circle
    std::uint64_t next_milestone = 64 * kBlock;
    if (index >= kBlock) return;
    for (std::uint64_t done = 0; done < count; ++done, ++index) {
      if (index == kBlock) {
        index = 0;
        block = word(block + kRightLink);
        if (block == milestone) return;
        if (done >= next_milestone) {
          milestone = block;
          next_milestone *= 2;
        }
      }
      std::uint64_t item = 0;
      if (!memory_.read(block + 8 + 8 * index, &item)) return;
      if (item != 0) sink_.edge(item, EdgeKind::kItem);
    }
  }

  // Modules/_elementtree.c: the lowest bit of text and tail marks a list that is to be joined.
  void scan_element(std::uint64_t object) {
    known(object, 16, "tag");
    for (const auto& [offset, name] : {std::pair(24u, "text"), std::pair(32u, "tail")}) {
      const std::uint64_t target = word(object + offset) & ~1ull;
      if (target != 0 && sink_.is_plausible(target)) sink_.field(target, name);
    }
    const std::uint64_t extra = word(object + 40);
    if (extra == 0) return;
    known(extra, 0, "attrib");
    const std::uint64_t count = word(extra + 8);
    const std::uint64_t children = word(extra + 24);
    for (std::uint64_t i = 0; i < count && i < kMaxItems; ++i) {
      std::uint64_t child = 0;
      if (!memory_.read(children + 8 * i, &child)) return;
      if (child != 0) sink_.edge(child, EdgeKind::kItem);
    }
  }

  void scan_function(std::uint64_t object) {
    const HeapLayout::Function& at = layout_.function;
    if (at.func_annotations != 0) known(object, at.func_annotations, "__annotations__");
    if (at.func_annotate != 0) known(object, at.func_annotate, "__annotate__");
    if (at.func_typeparams != 0) known(object, at.func_typeparams, "__type_params__");
  }

  // The C state that a module has besides its dict.
  void scan_module(std::uint64_t object) {
    const HeapLayout::Module& at = layout_.module;
    const std::uint64_t state = at.md_state == 0 ? 0 : word(object + at.md_state);
    if (state == 0) return;
    std::uint64_t size = at.md_state_size == 0 ? 0 : word(object + at.md_state_size);
    if (size == 0 && at.md_def != 0) {
      const std::uint64_t definition = word(object + at.md_def);
      size = definition == 0 ? 0 : word(definition + at.def_m_size);
    }
    if (size > kMaxFields) return;
    sink_.unnamed_part();
    for (std::uint64_t i = 0; i + 8 <= size; i += 8) {
      const std::uint64_t target = word(state + i);
      if (target != 0 && sink_.is_plausible(target)) sink_.guessed(target, i);
    }
  }

  const Memory& memory_;
  const HeapLayout& layout_;
  Sink& sink_;
};

}  // namespace memsnap
