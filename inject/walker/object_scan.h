#pragma once

#include "inject/protocol/walker_abi.h"

// What an object refers to, by CPython's own structs: compiled into the walker inside the frozen child, where memory is
// read directly, and into the structural walk outside, where every read may fail and every value is hostile.
namespace memsnap::walker {

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
      : memory_(memory), layout_(layout), members_(members), sink_(sink) {}

  // Emits every reference that structural knowledge finds; the caller runs tp_traverse afterwards where it is needed.
  void scan(const TypeRecord& type, std::uint64_t object) {
    scan_kind(type, object);
    if (type.kind != TypeKind::kType) scan_members(type, object);
    scan_instance(type, object);
    if ((type.flags & kTypeIsHeap) != 0) sink_.edge(type.address, EdgeKind::kClass);
    if ((type.flags & kTypeScanWords) != 0) scan_words(type, object);
  }

  // A running call's frame (3.11+), not an object: locals by name, then what is known of its evaluation stack.
  void scan_interpreter_frame(std::uint64_t frame) {
    const HeapLayout::Frame& at = layout_.frame;
    // The interpreter's own frames, between C and Python, leave most of their fields unset.
    if (value<std::uint8_t>(frame + at.owner) >= at.first_c_owner) return;
    const std::uint64_t executable = reference(frame + at.executable);
    field(executable, FieldName::kFrameCode);
    field(reference(frame + at.function), FieldName::kFrameFunction);
    field(word(frame + at.globals), FieldName::kFrameGlobals);
    field(word(frame + at.builtins), FieldName::kFrameBuiltins);
    field(word(frame + at.locals), FieldName::kFrameLocals);
    field(word(frame + at.frame_object), FieldName::kFrameObject);
    if (!sink_.is_code(executable)) return;
    const std::uint64_t locals = value<std::int32_t>(executable + layout_.code.co_nlocalsplus);
    const std::uint64_t room = value<std::int32_t>(executable + layout_.code.co_framesize);
    if (locals > kMaxLocals || room > kMaxLocals) return;
    const std::uint64_t names = word(executable + layout_.code.co_localsplusnames);
    const std::uint64_t first = frame + at.localsplus;
    for (std::uint64_t i = 0; i < locals; ++i) {
      local(reference(first + 8 * i), word(names + layout_.sequence.tuple_items + 8 * i));
    }
    const std::uint64_t top = frame_stack_top(frame, first);
    for (std::uint64_t i = locals; i < top && i < room; ++i) sink_.edge(reference(first + 8 * i), EdgeKind::kStack);
  }

 private:
  static constexpr std::uint64_t kMaxLocals = 1u << 20;
  static constexpr std::uint64_t kMaxGreenletFrames = 1000;
  static constexpr std::uint64_t kMaxItems = 1ull << 40;

  // 0 for a null pointer and for memory that cannot be read alike: both are no reference.
  std::uint64_t word(std::uint64_t address) const { return value<std::uint64_t>(address); }
  template <class T>
  std::uint64_t value(std::uint64_t address) const {
    T read{};
    if (!memory_.read(address, &read)) return 0;
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(read));
  }
  // A stack reference: 3.14 tags the low bits; both bits set is a small integer, no pointer.
  std::uint64_t reference(std::uint64_t address) const {
    const std::uint64_t read = word(address);
    if (layout_.frame.tag_mask == 0) return read;
    return (read & 3) == 3 ? 0 : read & ~static_cast<std::uint64_t>(layout_.frame.tag_mask);
  }

  void field(std::uint64_t target, FieldName name) {
    if (target != 0) sink_.named(target, EdgeKind::kField, static_cast<std::uint64_t>(name));
  }
  void field_at(std::uint64_t object, std::uint16_t offset, FieldName name) {
    if (offset != 0) field(word(object + offset), name);
  }
  void local(std::uint64_t target, std::uint64_t name) {
    if (target != 0) sink_.named(target, EdgeKind::kLocal, name);
  }

  void scan_kind(const TypeRecord& type, std::uint64_t object) {
    switch (type.kind) {
      case TypeKind::kList:
        return scan_array(word(object + layout_.sequence.list_items), word(object + layout_.object.ob_size));
      case TypeKind::kTuple:
        return scan_array(object + layout_.sequence.tuple_items, word(object + layout_.object.ob_size));
      case TypeKind::kStructSequence:
        return scan_array(object + layout_.sequence.tuple_items, type.extra);
      case TypeKind::kDict:
      case TypeKind::kOrderedDict:
        return scan_dict(object);
      case TypeKind::kSet:
        return scan_set(object);
      case TypeKind::kType:
        return scan_type(object);
      case TypeKind::kCode:
        return scan_code(object);
      case TypeKind::kFunction:
        return scan_function(object);
      case TypeKind::kModule:
        field_at(object, layout_.module.md_dict, FieldName::kDict);
        return field_at(object, layout_.module.md_name, FieldName::kName);
      case TypeKind::kFrame:
        return scan_frame(object);
      case TypeKind::kGenerator:
        return scan_generator(object);
      case TypeKind::kNumpyArray:
        return scan_numpy_array(object);
      case TypeKind::kInterpreterFrame:
        return scan_interpreter_frame(object);
      default:
        return scan_small(type, object);
    }
  }

  // Objects with a few fields at offsets that never changed between releases.
  void scan_small(const TypeRecord& type, std::uint64_t object) {
    switch (type.kind) {
      case TypeKind::kCell:
        return field(word(object + 16), FieldName::kCellContents);
      case TypeKind::kSlice:
        field(word(object + 16), FieldName::kStart);
        field(word(object + 24), FieldName::kStop);
        return field(word(object + 32), FieldName::kStep);
      case TypeKind::kRange:
        field(word(object + 16), FieldName::kStart);
        field(word(object + 24), FieldName::kStop);
        field(word(object + 32), FieldName::kStep);
        return sink_.edge(word(object + 40), EdgeKind::kNone);  // length
      case TypeKind::kDescriptor:
        field(word(object + 16), FieldName::kDescrType);
        field(word(object + 24), FieldName::kName);
        return field(word(object + 32), FieldName::kQualname);
      case TypeKind::kWeakReference:
        return sink_.named(word(object + 16), EdgeKind::kWeak, static_cast<std::uint64_t>(FieldName::kReferent));
      case TypeKind::kDateTime:  // _PyTZINFO_HEAD: hash, hastzinfo; tzinfo is the last field, present only when
                                 // hastzinfo is set
        if ((value<std::uint8_t>(object + 24)) == 1 && type.base_size >= 40) {
          field(word(object + type.base_size - 8), FieldName::kTzInfo);
        }
        return;
      case TypeKind::kGreenlet:
        return scan_greenlet(type, object);
      case TypeKind::kPattern:
      case TypeKind::kMatch:
        return scan_words(type, object);
      default:
        return;
    }
  }

  // A suspended greenlet's innermost frame: its tp_traverse does not visit it, and where it is kept differs between
  // releases of greenlet, in the object (1.x) or in a C++ object it points to (2.0+). So every word there is looked at.
  void scan_greenlet(const TypeRecord& type, std::uint64_t object) {
    constexpr std::uint64_t kStateWords = 64;
    for (std::uint64_t at = 16; at + 8 <= type.basic_size && at < 512; at += 8) {
      const std::uint64_t state = word(object + at);
      if (sink_.is_frame(state)) field(state, FieldName::kGreenletFrame);
      if ((state & 7) != 0 || state < 4096 || state >> 47 != 0 || sink_.is_plausible(state)) continue;
      for (std::uint64_t i = 0; i < kStateWords; ++i) {
        const std::uint64_t frame = word(state + 8 * i);
        if (sink_.is_frame(frame)) field(frame, FieldName::kGreenletFrame);
      }
    }
  }

  void scan_array(std::uint64_t items, std::uint64_t count) {
    if (items == 0 || count > kMaxItems) return;
    for (std::uint64_t i = 0; i < count; ++i) {
      std::uint64_t item = 0;
      if (!memory_.read(items + 8 * i, &item)) return;  // a forged size ends where the mapping ends
      if (item != 0) sink_.edge(item, EdgeKind::kItem);
    }
  }

  void pair(std::uint64_t key, std::uint64_t item) {
    if (key == 0 || item == 0) return;  // a deleted entry
    sink_.edge(key, EdgeKind::kKey);
    sink_.edge(item, EdgeKind::kValue);
  }

  struct Keys {
    std::uint64_t entries = 0, count = 0, entry_size = 24, key_offset = 8;
  };

  Keys read_keys(std::uint64_t keys) const {
    const HeapLayout::Dict& at = layout_.dict;
    Keys result;
    result.count = word(keys + at.dk_nentries);
    if (at.keys_form == 0) {
      const std::uint64_t size = word(keys + at.dk_size);
      const std::uint64_t width = size <= 0xff ? 1 : size <= 0xffff ? 2 : size <= 0xffffffff ? 4 : 8;
      if (size > kMaxItems) return {};
      result.entries = keys + at.keys_header + size * width;
    } else {
      const std::uint64_t log2 = value<std::uint8_t>(keys + at.dk_log2_index_bytes);
      if (log2 > 44) return {};
      result.entries = keys + at.keys_header + (1ull << log2);
      if (value<std::uint8_t>(keys + at.dk_kind) != 0) {
        result.entry_size = 16;
        result.key_offset = 0;
      }
    }
    if (result.count > kMaxItems) return {};
    return result;
  }

  void scan_dict(std::uint64_t object) {
    const HeapLayout::Dict& at = layout_.dict;
    const std::uint64_t keys = word(object + at.ma_keys);
    const std::uint64_t values = word(object + at.ma_values);
    if (keys == 0) return;
    const Keys table = read_keys(keys);
    for (std::uint64_t i = 0; i < table.count; ++i) {
      const std::uint64_t entry = table.entries + i * table.entry_size + table.key_offset;
      std::uint64_t key = 0;
      if (!memory_.read(entry, &key)) return;
      pair(key, values == 0 ? word(entry + 8) : word(values + at.values_items + 8 * i));
    }
  }

  void scan_set(std::uint64_t object) {
    const std::uint64_t mask = word(object + layout_.set.mask);
    const std::uint64_t table = word(object + layout_.set.table);
    if (table == 0 || mask > kMaxItems) return;
    for (std::uint64_t i = 0; i <= mask; ++i) {
      std::uint64_t key = 0;
      if (!memory_.read(table + 16 * i, &key)) return;
      if (key != 0 && word(table + 16 * i + 8) != ~0ull) sink_.edge(key, EdgeKind::kItem);  // hash -1: a deleted entry
    }
  }

  void scan_type(std::uint64_t object) {
    const HeapLayout::Type& at = layout_.type;
    field_at(object, at.tp_base, FieldName::kBase);
    field_at(object, at.tp_dict, FieldName::kDict);
    field_at(object, at.tp_bases, FieldName::kBases);
    field_at(object, at.tp_mro, FieldName::kMro);
    field_at(object, at.tp_cache, FieldName::kCache);
    const std::uint64_t subclasses = word(object + at.tp_subclasses);
    if (subclasses > 0xffff) field(subclasses, FieldName::kSubclasses);  // 3.12+: an index for static builtin types
    if ((word(object + at.tp_flags) >> 9 & 1) == 0) return;  // the rest belongs to heap types (Py_TPFLAGS_HEAPTYPE)
    field_at(object, at.ht_name, FieldName::kName);
    field_at(object, at.ht_slots, FieldName::kSlots);
    field_at(object, at.ht_qualname, FieldName::kQualname);
    field_at(object, at.ht_module, FieldName::kModule);
    const std::uint64_t keys = word(object + at.ht_cached_keys);
    if (keys == 0) return;
    const Keys table = read_keys(keys);
    for (std::uint64_t i = 0; i < table.count && i < kMaxLocals; ++i) {
      sink_.edge(word(table.entries + i * table.entry_size + table.key_offset), EdgeKind::kNone);
    }
  }

  void scan_code(std::uint64_t object) {
    const HeapLayout::Code& at = layout_.code;
    field_at(object, at.co_code, FieldName::kCoCode);
    field_at(object, at.co_consts, FieldName::kCoConsts);
    field_at(object, at.co_names, FieldName::kCoNames);
    field_at(object, at.co_varnames, FieldName::kCoVarNames);
    field_at(object, at.co_freevars, FieldName::kCoFreeVars);
    field_at(object, at.co_cellvars, FieldName::kCoCellVars);
    field_at(object, at.co_localsplusnames, FieldName::kCoLocalsPlusNames);
    field_at(object, at.co_localspluskinds, FieldName::kCoLocalsPlusKinds);
    field_at(object, at.co_filename, FieldName::kCoFilename);
    field_at(object, at.co_name, FieldName::kCoName);
    field_at(object, at.co_qualname, FieldName::kCoQualname);
    field_at(object, at.co_linetable, FieldName::kCoLineTable);
    field_at(object, at.co_exceptiontable, FieldName::kCoExceptionTable);
    scan_code_cache(object);
  }

  // _co_cached: one object in 3.11, a malloc'ed struct of four objects from 3.12 on.
  void scan_code_cache(std::uint64_t object) {
    if (layout_.code.co_cached == 0) return;
    const std::uint64_t cached = word(object + layout_.code.co_cached);
    if (cached == 0) return;
    if (layout_.since < 0x030c0000) return field(cached, FieldName::kCoCached);
    for (std::uint64_t i = 0; i < 4; ++i) field(word(cached + 8 * i), FieldName::kCoCached);
  }

  void scan_function(std::uint64_t object) {
    const HeapLayout::Function& at = layout_.function;
    field_at(object, at.func_code, FieldName::kCode);
    field_at(object, at.func_globals, FieldName::kGlobals);
    field_at(object, at.func_builtins, FieldName::kBuiltins);
    field_at(object, at.func_name, FieldName::kName);
    field_at(object, at.func_qualname, FieldName::kQualname);
    field_at(object, at.func_defaults, FieldName::kDefaults);
    field_at(object, at.func_kwdefaults, FieldName::kKwDefaults);
    field_at(object, at.func_doc, FieldName::kDoc);
    field_at(object, at.func_dict, FieldName::kDict);
    field_at(object, at.func_closure, FieldName::kClosure);
    field_at(object, at.func_module, FieldName::kModule);
  }

  // PyFrameObject to 3.10: locals, cells and free variables by the code's names, then the evaluation stack of a frame
  // that is not running. From 3.11 on it owns or points to an interpreter frame.
  void scan_frame(std::uint64_t object) {
    const HeapLayout::FrameObject& at = layout_.frame_object;
    field_at(object, at.f_back, FieldName::kFrameBack);
    if (at.stack_form == 2) return scan_frame_data(object);
    const std::uint64_t code = word(object + at.f_code);
    field(code, FieldName::kFrameCode);
    field_at(object, at.f_builtins, FieldName::kFrameBuiltins);
    field_at(object, at.f_globals, FieldName::kFrameGlobals);
    field_at(object, at.f_locals, FieldName::kFrameLocals);
    if (!sink_.is_code(code)) return;
    std::uint64_t slot = object + at.f_localsplus;
    slot = scan_named_slots(slot, word(code + layout_.code.co_varnames));
    slot = scan_named_slots(slot, word(code + layout_.code.co_cellvars));
    slot = scan_named_slots(slot, word(code + layout_.code.co_freevars));
    const std::uint64_t begin = word(object + at.f_valuestack);
    const std::uint64_t depth =
        at.stack_form == 1 ? value<std::int32_t>(object + at.f_stack_end) : (word(object + at.f_stack_end) - begin) / 8;
    if (begin != slot || (at.stack_form == 0 && word(object + at.f_stack_end) < begin) || depth > kMaxLocals) return;
    for (std::uint64_t i = 0; i < depth; ++i) sink_.edge(word(begin + 8 * i), EdgeKind::kStack);
  }

  // A frame object of 3.11+ owns a copy of a finished call's frame, or points to one in progress. One in progress that
  // no thread runs is a suspended greenlet's: the calls below it on that greenlet's stack hang on it alone.
  void scan_frame_data(std::uint64_t object) {
    const std::uint64_t own = object + layout_.frame_object.f_frame_data;
    std::uint64_t frame = word(object + layout_.frame_object.f_frame);
    for (std::uint64_t depth = 0; frame != 0 && depth < kMaxGreenletFrames && !sink_.is_running(frame); ++depth) {
      scan_interpreter_frame(frame);
      if (frame == own) return;
      frame = word(frame + layout_.frame.previous);
    }
  }

  std::uint64_t scan_named_slots(std::uint64_t slot, std::uint64_t names) {
    const std::uint64_t count = names == 0 ? 0 : word(names + layout_.object.ob_size);
    if (count > kMaxLocals) return slot;
    for (std::uint64_t i = 0; i < count; ++i, slot += 8)
      local(word(slot), word(names + layout_.sequence.tuple_items + 8 * i));
    return slot;
  }

  std::uint64_t frame_stack_top(std::uint64_t frame, std::uint64_t first) const {
    if (layout_.frame.stack_form == 0) {
      const std::int64_t top = static_cast<std::int32_t>(value<std::int32_t>(frame + layout_.frame.stack_top));
      return top < 0 ? 0 : static_cast<std::uint64_t>(top);  // -1: running, its depth is in a register
    }
    const std::uint64_t top = word(frame + layout_.frame.stack_top);
    return top < first ? 0 : (top - first) / 8;
  }

  void scan_generator(std::uint64_t object) {
    const HeapLayout::Generator& at = layout_.generator;
    field_at(object, at.name, FieldName::kName);
    field_at(object, at.qualname, FieldName::kQualname);
    field_at(object, at.code, FieldName::kCode);
    field_at(object, at.frame_object, FieldName::kGeneratorFrame);
    if (at.frame == 0) return;
    const int state = static_cast<std::int8_t>(value<std::int8_t>(object + at.frame_state));  // NOLINT: may be negative
    if (state < at.cleared_state) scan_interpreter_frame(object + at.frame);
  }

  // numpy.ndarray: data 16, nd 24, dimensions 32, strides 40, base 48, descr 56, the same in numpy 1 and 2.
  void scan_numpy_array(std::uint64_t object) {
    const std::uint64_t descr = word(object + 56);
    field(word(object + 48), FieldName::kArrayBase);
    field(descr, FieldName::kArrayType);
    constexpr std::uint64_t kObjectDtype = 17;  // NPY_OBJECT, PyArray_Descr.type_num
    const std::uint64_t axes = value<std::int32_t>(object + 24);
    if (descr == 0 || value<std::int32_t>(descr + 28) != kObjectDtype || axes > 32) return;
    std::uint64_t total = 1;
    std::uint64_t span = 0;                                        // bytes from the first item to the last
    std::uint64_t index[32] = {}, size[32] = {}, stride[32] = {};  // NOLINT(modernize-avoid-c-arrays): no library
    for (std::uint64_t i = 0; i < axes; ++i) {
      size[i] = word(word(object + 32) + 8 * i);
      stride[i] = word(word(object + 40) + 8 * i);
      if (size[i] == 0 || size[i] > kMaxItems || total > kMaxItems / size[i]) return;
      total *= size[i];
      const std::uint64_t step = stride[i] >> 63 != 0 ? 0 - stride[i] : stride[i];
      if (size[i] > 1 && step > kMaxItems / (size[i] - 1)) return;
      span += step * (size[i] - 1);
    }
    // A view that shows items more than once (broadcast, sliding windows) may have any number: its base holds them.
    if (total > span / 8 + 1) return;
    std::uint64_t at = word(object + 16);
    for (std::uint64_t done = 0; done < total; ++done) {
      std::uint64_t item = 0;
      if (!memory_.read(at, &item)) return;
      if (item != 0) sink_.edge(item, EdgeKind::kItem);
      for (std::uint64_t i = axes; i-- > 0;) {
        at += stride[i];
        if (++index[i] < size[i]) break;
        at -= stride[i] * size[i];
        index[i] = 0;
      }
    }
  }

  void scan_members(const TypeRecord& type, std::uint64_t object) {
    for (std::uint32_t i = 0; i < type.member_count; ++i) {
      const MemberRecord member = members_[type.member_begin + i];
      const std::uint64_t target = word(object + member.offset);
      if (target != 0) sink_.named(target, EdgeKind::kField, member.name);
    }
  }

  // The instance's own dict or values, wherever this release keeps them.
  void scan_instance(const TypeRecord& type, std::uint64_t object) {
    if ((type.flags & kTypeManagedDict) != 0) return scan_managed(type, object);
    if (type.dict_offset > 0) {
      if (type.kind != TypeKind::kFunction && type.kind != TypeKind::kModule)
        field(word(object + static_cast<std::uint64_t>(type.dict_offset)), FieldName::kDict);
    } else if (type.dict_offset < -1) {  // counted from the end of a variable-sized object
      std::uint64_t items = word(object + layout_.object.ob_size);
      if (items >> 63 != 0) items = 0 - items;
      if (items > kMaxItems) return;
      const std::uint64_t end = (type.basic_size + items * type.item_size + 7) & ~7ull;
      field(word(object + end - static_cast<std::uint64_t>(-static_cast<std::int64_t>(type.dict_offset))),
            FieldName::kDict);
    }
  }

  void scan_managed(const TypeRecord& type, std::uint64_t object) {
    const std::uint8_t form = layout_.instance.form;
    const std::uint64_t slot = word(object - 24);
    if (form == 11) {
      field(slot, FieldName::kDict);
      return scan_values(type, word(object - 32));
    }
    if (form == 12) {
      if ((slot & 1) != 0) return scan_values(type, slot + 1);
      return field(slot, FieldName::kDict);
    }
    field(slot, FieldName::kDict);
    if ((type.flags & kTypeInlineValues) == 0) return;
    const std::uint64_t values = object + type.basic_size;
    if (value<std::uint8_t>(values + layout_.dict.values_valid) != 0) scan_values(type, values);
  }

  void scan_values(const TypeRecord& type, std::uint64_t values) {
    if (values == 0 || type.cached_keys == 0) return;
    const Keys table = read_keys(type.cached_keys);
    std::uint64_t count = table.count;
    if (layout_.instance.form == 13) {
      const std::uint64_t capacity = value<std::uint8_t>(values + layout_.dict.values_capacity);
      if (capacity < count) count = capacity;
    }
    for (std::uint64_t i = 0; i < count && i < kMaxLocals; ++i) {
      const std::uint64_t target = word(values + layout_.dict.values_items + 8 * i);
      if (target == 0) continue;
      sink_.named(target, EdgeKind::kAttribute, word(table.entries + i * table.entry_size + table.key_offset));
    }
  }

  // Fields nobody describes: each word that points to something that looks like an object is taken for a reference.
  void scan_words(const TypeRecord& type, std::uint64_t object) {
    sink_.unnamed_part();
    const std::uint64_t weak_list = type.weaklist_offset > 0 ? static_cast<std::uint64_t>(type.weaklist_offset) : 0;
    for (std::uint64_t at = 16; at + 8 <= type.basic_size && at < 4096; at += 8) {
      const std::uint64_t target = word(object + at);
      if (target != 0 && at != weak_list && sink_.is_plausible(target)) sink_.guessed(target, at);
    }
  }

  const Memory& memory_;
  const HeapLayout& layout_;
  const MemberRecord* members_;
  Sink& sink_;
};

}  // namespace memsnap::walker
