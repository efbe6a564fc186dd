#pragma once

#include <cstdint>

#include "inject/protocol/walker_abi.h"
#include "inject/walker/scan_context.h"

// Frames, generators, and greenlets, which keep frames.
namespace memsnap::walker {

inline constexpr std::uint64_t kMaxGreenletFrames = 1000;

template <class Scan>
std::uint64_t frame_stack_top(const Scan& scan, std::uint64_t frame, std::uint64_t first) {
  if (scan.layout.frame.stack_form == 0) {
    const std::int64_t top =
        static_cast<std::int32_t>(scan.template value<std::int32_t>(frame + scan.layout.frame.stack_top));
    return top < 0 ? 0 : static_cast<std::uint64_t>(top);  // -1: running, its depth is in a register
  }
  const std::uint64_t top = scan.word(frame + scan.layout.frame.stack_top);
  return top < first ? 0 : (top - first) / 8;
}

// A running call's frame (3.11+), not an object: locals by name, then what is known of its evaluation stack. How many
// locals it has.
template <class Scan>
std::uint64_t scan_interpreter_frame(const Scan& scan, std::uint64_t frame) {
  const HeapLayout::Frame& at = scan.layout.frame;
  // The interpreter's own frames, between C and Python, leave most of their fields unset.
  if (scan.template value<std::uint8_t>(frame + at.owner) >= at.first_c_owner) return 0;
  const std::uint64_t executable = scan.reference(frame + at.executable);
  scan.field(executable, FieldName::kFrameCode);
  scan.field(scan.reference(frame + at.function), FieldName::kFrameFunction);
  scan.field(scan.word(frame + at.globals), FieldName::kFrameGlobals);
  scan.field(scan.word(frame + at.builtins), FieldName::kFrameBuiltins);
  scan.field(scan.word(frame + at.locals), FieldName::kFrameLocals);
  scan.field(scan.word(frame + at.frame_object), FieldName::kFrameObject);
  if (!scan.sink.is_code(executable)) return 0;
  const std::uint64_t locals = scan.template value<std::int32_t>(executable + scan.layout.code.co_nlocalsplus);
  const std::uint64_t room = scan.template value<std::int32_t>(executable + scan.layout.code.co_framesize);
  if (locals > kMaxLocals || room > kMaxLocals) return 0;
  const std::uint64_t names = scan.word(executable + scan.layout.code.co_localsplusnames);
  const std::uint64_t first = frame + at.localsplus;
  for (std::uint64_t i = 0; i < locals; ++i) {
    scan.local(scan.reference(first + 8 * i), scan.word(names + scan.layout.sequence.tuple_items + 8 * i));
  }
  const std::uint64_t top = frame_stack_top(scan, frame, first);
  for (std::uint64_t i = locals; i < top && i < room; ++i)
    scan.sink.edge(scan.reference(first + 8 * i), EdgeKind::kStack);
  return locals;
}

// A frame object of 3.11+ owns a copy of a finished call's frame, or points to one in progress. One in progress that
// no thread runs is a suspended greenlet's: the calls below it on that greenlet's stack hang on it alone. A forged
// chain may be a ring, or frames that overlap: together they have no more locals than one may have.
template <class Scan>
void scan_frame_data(const Scan& scan, std::uint64_t object) {
  const std::uint64_t own = object + scan.layout.frame_object.f_frame_data;
  std::uint64_t frame = scan.word(object + scan.layout.frame_object.f_frame);
  std::uint64_t mark = 0;  // Brent's
  std::uint64_t locals = 0;
  for (std::uint64_t depth = 0; frame != 0 && depth < kMaxGreenletFrames && !scan.sink.is_running(frame); ++depth) {
    locals += scan_interpreter_frame(scan, frame);
    if ((depth & (depth + 1)) == 0) mark = frame;
    if (frame == own || locals > kMaxLocals) return;
    frame = scan.word(frame + scan.layout.frame.previous);
    if (frame == mark) return;
  }
}

template <class Scan>
std::uint64_t scan_named_slots(const Scan& scan, std::uint64_t slot, std::uint64_t names) {
  const std::uint64_t count = names == 0 ? 0 : scan.word(names + scan.layout.object.ob_size);
  if (count > kMaxLocals) return slot;
  for (std::uint64_t i = 0; i < count; ++i, slot += 8)
    scan.local(scan.word(slot), scan.word(names + scan.layout.sequence.tuple_items + 8 * i));
  return slot;
}

// PyFrameObject to 3.10: locals, cells and free variables by the code's names, then the evaluation stack of a frame
// that is not running. From 3.11 on it owns or points to an interpreter frame.
template <class Scan>
void scan_frame(const Scan& scan, std::uint64_t object) {
  const HeapLayout::FrameObject& at = scan.layout.frame_object;
  scan.field_at(object, at.f_back, FieldName::kFrameBack);
  if (at.stack_form == 2) return scan_frame_data(scan, object);
  const std::uint64_t code = scan.word(object + at.f_code);
  scan.field(code, FieldName::kFrameCode);
  scan.field_at(object, at.f_builtins, FieldName::kFrameBuiltins);
  scan.field_at(object, at.f_globals, FieldName::kFrameGlobals);
  scan.field_at(object, at.f_locals, FieldName::kFrameLocals);
  if (!scan.sink.is_code(code)) return;
  std::uint64_t slot = object + at.f_localsplus;
  slot = scan_named_slots(scan, slot, scan.word(code + scan.layout.code.co_varnames));
  slot = scan_named_slots(scan, slot, scan.word(code + scan.layout.code.co_cellvars));
  slot = scan_named_slots(scan, slot, scan.word(code + scan.layout.code.co_freevars));
  const std::uint64_t begin = scan.word(object + at.f_valuestack);
  const std::uint64_t depth = at.stack_form == 1 ? scan.template value<std::int32_t>(object + at.f_stack_end)
                                                 : (scan.word(object + at.f_stack_end) - begin) / 8;
  if (begin != slot || (at.stack_form == 0 && scan.word(object + at.f_stack_end) < begin) || depth > kMaxLocals) return;
  for (std::uint64_t i = 0; i < depth; ++i) scan.sink.edge(scan.word(begin + 8 * i), EdgeKind::kStack);
}

template <class Scan>
void scan_generator(const Scan& scan, std::uint64_t object) {
  const HeapLayout::Generator& at = scan.layout.generator;
  scan.field_at(object, at.name, FieldName::kName);
  scan.field_at(object, at.qualname, FieldName::kQualname);
  scan.field_at(object, at.code, FieldName::kCode);
  scan.field_at(object, at.frame_object, FieldName::kGeneratorFrame);
  if (at.frame == 0) return;
  const int state =
      static_cast<std::int8_t>(scan.template value<std::int8_t>(object + at.frame_state));  // NOLINT: may be negative
  if (state < at.cleared_state) scan_interpreter_frame(scan, object + at.frame);
}

// A suspended greenlet's innermost frame: its tp_traverse does not visit it, and where it is kept differs between
// releases of greenlet, in the object (1.x) or in a C++ object it points to (2.0+). So every word there is looked at.
template <class Scan>
void scan_greenlet(const Scan& scan, const TypeRecord& type, std::uint64_t object) {
  constexpr std::uint64_t kStateWords = 64;
  for (std::uint64_t at = 16; at + 8 <= type.basic_size && at < 512; at += 8) {
    const std::uint64_t state = scan.word(object + at);
    if (scan.sink.is_frame(state)) scan.field(state, FieldName::kGreenletFrame);
    if ((state & 7) != 0 || state < 4096 || state >> 47 != 0 || scan.sink.is_plausible(state)) continue;
    for (std::uint64_t i = 0; i < kStateWords; ++i) {
      const std::uint64_t frame = scan.word(state + 8 * i);
      if (scan.sink.is_frame(frame)) scan.field(frame, FieldName::kGreenletFrame);
    }
  }
}

}  // namespace memsnap::walker
