#pragma once

#include <cstdint>

#include "inject/agent/code_table.h"

// The two forms of a running frame. Both are only ever asked of frames that were reached from the thread's own state.
namespace memsnap::agent {

// PyFrameObject, to 3.10.
class ObjectFrames {
 public:
  explicit ObjectFrames(const HeapLayout& layout)
      : back_(layout.frame_object.f_back), code_(layout.frame_object.f_code), last_(layout.frame_object.f_lasti) {}
  std::uint64_t previous(std::uint64_t frame) const { return word_at(frame + back_); }
  // Whether it runs Python code, rather than being the interpreter's own.
  static bool is_python(std::uint64_t /*frame*/) { return true; }
  std::uint64_t code(std::uint64_t frame) const { return word_at(frame + code_); }
  [[gnu::always_inline]] std::uint64_t fingerprint(std::uint64_t frame) const {
    return fingerprint_of(config.layout, code(frame));
  }
  std::uint64_t instruction(std::uint64_t frame) const {
    return static_cast<std::uint64_t>(std::int64_t{read_at<std::int32_t>(frame + last_)});
  }
  // Other while the frame is at another instruction or runs another code object. Codes are 16 bytes apart.
  std::uint64_t key(std::uint64_t frame) const {
    return code(frame) >> 4 | static_cast<std::uint64_t>(read_at<std::uint32_t>(frame + last_)) << 43;
  }

 private:
  std::uint64_t back_, code_, last_;
};

// _PyInterpreterFrame, 3.11+.
class FramesAnywhere {
 public:
  explicit FramesAnywhere(const HeapLayout& layout) : layout_(layout.frame) {}
  std::uint64_t previous(std::uint64_t frame) const { return word_at(frame + layout_.previous); }
  bool is_python(std::uint64_t frame) const {
    return read_at<std::uint8_t>(frame + layout_.owner) < layout_.first_c_owner;
  }
  std::uint64_t code(std::uint64_t frame) const {
    return word_at(frame + layout_.executable) & ~static_cast<std::uint64_t>(layout_.tag_mask);
  }
  [[gnu::always_inline]] std::uint64_t fingerprint(std::uint64_t frame) const {
    return fingerprint_of(config.layout, code(frame));
  }
  std::uint64_t instruction(std::uint64_t frame) const { return word_at(frame + layout_.instr); }
  // An address in the code object, so that it tells the code too.
  std::uint64_t key(std::uint64_t frame) const { return instruction(frame); }

 private:
  const HeapLayout::Frame& layout_;
};

// The same where it is known beforehand where the two fields are that are read of every frame in every capture.
template <unsigned kPrevious, unsigned kInstruction>
class FramesAt : public FramesAnywhere {
 public:
  using FramesAnywhere::FramesAnywhere;
  static std::uint64_t previous(std::uint64_t frame) { return word_at(frame + kPrevious); }
  static std::uint64_t instruction(std::uint64_t frame) { return word_at(frame + kInstruction); }
  static std::uint64_t key(std::uint64_t frame) { return instruction(frame); }
  [[gnu::always_inline]] std::uint64_t fingerprint(std::uint64_t frame) const {
    if constexpr (kPrevious == 8) return numbered_of(config.layout, code(frame));
    return FramesAnywhere::fingerprint(frame);
  }
};

// 3.11, where the same frame at the same instruction may have been called by Python code or by C code.
class EntryFrames : public FramesAt<48, 56> {
 public:
  explicit EntryFrames(const HeapLayout& layout) : FramesAt(layout), entry_(layout.frame.entry) {}
  bool is_entry(std::uint64_t frame) const { return read_at<std::uint8_t>(frame + entry_) != 0; }
  std::uint64_t key(std::uint64_t frame) const {
    return instruction(frame) | static_cast<std::uint64_t>(is_entry(frame)) << 63;
  }

 private:
  std::uint64_t entry_;
};

inline FrameForm frame_form_of(const HeapLayout& layout) {
  if (layout.since == 0) return FrameForm::kUnknown;  // it comes later, when the interpreter is there
  if (layout.frame.size == 0) return FrameForm::kObjects;
  if (layout.frame.previous == 8 && layout.frame.instr == 56) return FrameForm::kAt8And56;    // 3.12+
  if (layout.frame.previous == 48 && layout.frame.instr == 56) return FrameForm::kAt48And56;  // 3.11
  return FrameForm::kAnywhere;
}

// The innermost frame of the calling thread, 0: it runs no Python code now, or never did.
inline std::uint64_t innermost_frame() {
  using Getter = std::uint64_t();
  if (config.thread_state == 0) return 0;
  std::uint64_t thread = function_at<Getter>(config.thread_state)();
  if (thread == 0 && config.thread_state_released != 0) thread = function_at<Getter>(config.thread_state_released)();
  if (thread == 0) return 0;
  // A thread without the GIL finds the address of its state even when that was freed at the end of Python.
  if (config.finalizing != 0) {
    const std::uint64_t finalizing = word_at(config.finalizing);
    if (finalizing != 0 && finalizing != thread) [[unlikely]]
      return 0;
  }
  const HeapLayout::Thread& at = config.layout.thread;
  if (at.current_frame != 0) return word_at(thread + at.current_frame);
  if (at.cframe == 0) return word_at(thread + at.frame);
  const std::uint64_t cframe = word_at(thread + at.cframe);
  return cframe == 0 ? 0 : word_at(cframe + at.cframe_current);
}

}  // namespace memsnap::agent
