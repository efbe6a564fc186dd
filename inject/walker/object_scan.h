#pragma once

#include <cstdint>

#include "inject/protocol/walker_abi.h"
#include "inject/walker/container_scan.h"
#include "inject/walker/frame_scan.h"
#include "inject/walker/instance_scan.h"
#include "inject/walker/numpy_scan.h"
#include "inject/walker/scan_context.h"
#include "inject/walker/type_scan.h"

// What an object refers to, by CPython's own structs: compiled into the walker inside the frozen child, where memory is
// read directly, and into the structural walk outside, where every read may fail and every value is hostile.
namespace memsnap::walker {

// Objects with a few fields at offsets that never changed between releases.
template <class Scan>
void scan_small(const Scan& scan, const TypeRecord& type, std::uint64_t object) {
  switch (type.kind) {
    case TypeKind::kCell:
      return scan.field(scan.word(object + 16), FieldName::kCellContents);
    case TypeKind::kSlice:
      scan.field(scan.word(object + 16), FieldName::kStart);
      scan.field(scan.word(object + 24), FieldName::kStop);
      return scan.field(scan.word(object + 32), FieldName::kStep);
    case TypeKind::kRange:
      scan.field(scan.word(object + 16), FieldName::kStart);
      scan.field(scan.word(object + 24), FieldName::kStop);
      scan.field(scan.word(object + 32), FieldName::kStep);
      return scan.sink.edge(scan.word(object + 40), EdgeKind::kNone);  // length
    case TypeKind::kDescriptor:
      scan.field(scan.word(object + 16), FieldName::kDescrType);
      scan.field(scan.word(object + 24), FieldName::kName);
      return scan.field(scan.word(object + 32), FieldName::kQualname);
    case TypeKind::kWeakReference:
      return scan.sink.named(scan.word(object + 16), EdgeKind::kWeak, static_cast<std::uint64_t>(FieldName::kReferent));
    case TypeKind::kDateTime:  // _PyTZINFO_HEAD: hash, hastzinfo; tzinfo is the last field, present only when
                               // hastzinfo is set
      if ((scan.template value<std::uint8_t>(object + 24)) == 1 && type.base_size >= 40) {
        scan.field(scan.word(object + type.base_size - 8), FieldName::kTzInfo);
      }
      return;
    case TypeKind::kGreenlet:
      return scan_greenlet(scan, type, object);
    case TypeKind::kPattern:
    case TypeKind::kMatch:
      return scan_words(scan, type, object);
    default:
      return;
  }
}

template <class Scan>
void scan_kind(const Scan& scan, const TypeRecord& type, std::uint64_t object) {
  switch (type.kind) {
    case TypeKind::kList:
      return scan_array(scan, scan.word(object + scan.layout.sequence.list_items),
                        scan.word(object + scan.layout.object.ob_size));
    case TypeKind::kTuple:
      return scan_array(scan, object + scan.layout.sequence.tuple_items,
                        scan.word(object + scan.layout.object.ob_size));
    case TypeKind::kStructSequence:
      return scan_array(scan, object + scan.layout.sequence.tuple_items, type.extra);
    case TypeKind::kDict:
    case TypeKind::kOrderedDict:
      return scan_dict(scan, object);
    case TypeKind::kSet:
      return scan_set(scan, object);
    case TypeKind::kType:
      return scan_type(scan, object);
    case TypeKind::kCode:
      return scan_code(scan, object);
    case TypeKind::kFunction:
      return scan_function(scan, object);
    case TypeKind::kModule:
      scan.field_at(object, scan.layout.module.md_dict, FieldName::kDict);
      return scan.field_at(object, scan.layout.module.md_name, FieldName::kName);
    case TypeKind::kFrame:
      return scan_frame(scan, object);
    case TypeKind::kGenerator:
      return scan_generator(scan, object);
    case TypeKind::kNumpyArray:
      return scan_numpy_array(scan, object);
    case TypeKind::kInterpreterFrame:
      scan_interpreter_frame(scan, object);
      return;
    default:
      return scan_small(scan, type, object);
  }
}

// Memory: template <class T> bool read(std::uint64_t address, T* out) const;
// Sink:   void edge(std::uint64_t target, EdgeKind kind);
//         void named(std::uint64_t target, EdgeKind kind, std::uint64_t name);
//         void unnamed_part();                        what follows may repeat edges named before
//         void guessed(std::uint64_t target, std::uint64_t offset);   a word at `offset` that points to an object
//         bool is_running(std::uint64_t frame);       is this interpreter frame on a thread's own stack of calls?
//         bool is_code(std::uint64_t object);         is this a code object?
//         bool is_frame(std::uint64_t address);       does it look like the address of a frame object?
//         bool is_plausible(std::uint64_t address);   does this word look like the address of an object?
template <class Memory, class Sink>
class ObjectScan {
 public:
  ObjectScan(const Memory& memory, const HeapLayout& layout, const MemberRecord* members, Sink& sink)
      : scan_{memory, layout, members, sink} {}

  // Emits every reference that structural knowledge finds; the caller runs tp_traverse afterwards where it is needed.
  void scan(const TypeRecord& type, std::uint64_t object) {
    scan_kind(scan_, type, object);
    if (type.kind != TypeKind::kType) scan_members(scan_, type, object);
    scan_instance(scan_, type, object);
    if ((type.flags & kTypeIsHeap) != 0) scan_.sink.edge(type.address, EdgeKind::kClass);
    if ((type.flags & kTypeScanWords) != 0) scan_words(scan_, type, object);
  }

  void scan_frame(std::uint64_t frame) { scan_interpreter_frame(scan_, frame); }

 private:
  ScanContext<Memory, Sink> scan_;
};

}  // namespace memsnap::walker
