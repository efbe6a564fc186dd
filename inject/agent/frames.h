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
class InterpreterFrames {
 public:
  explicit InterpreterFrames(const HeapLayout& layout)
      : previous_(layout.frame.previous),
        executable_(layout.frame.executable),
        instruction_(layout.frame.instr),
        owner_(layout.frame.owner),
        first_c_owner_(layout.frame.first_c_owner),
        tags_(layout.frame.tag_mask) {}
  std::uint64_t previous(std::uint64_t frame) const { return word_at(frame + previous_); }
  bool is_python(std::uint64_t frame) const { return read_at<std::uint8_t>(frame + owner_) < first_c_owner_; }
  std::uint64_t code(std::uint64_t frame) const { return word_at(frame + executable_) & ~tags_; }
  std::uint64_t instruction(std::uint64_t frame) const { return word_at(frame + instruction_); }
  // An address in the code object, so that it tells the code too.
  std::uint64_t key(std::uint64_t frame) const { return instruction(frame); }

 private:
  std::uint64_t previous_, executable_, instruction_, owner_;
  std::uint8_t first_c_owner_;
  std::uint64_t tags_;
};

// The innermost frame of the calling thread, 0: it runs no Python code now, or never did.
inline std::uint64_t innermost_frame() {
  using Getter = std::uint64_t();
  if (config.thread_state == 0) return 0;
  std::uint64_t thread = function_at<Getter>(config.thread_state)();
  if (thread == 0 && config.thread_state_released != 0) thread = function_at<Getter>(config.thread_state_released)();
  if (thread == 0) return 0;
  const HeapLayout::Thread& at = config.layout.thread;
  if (at.current_frame != 0) return word_at(thread + at.current_frame);
  if (at.cframe == 0) return word_at(thread + at.frame);
  const std::uint64_t cframe = word_at(thread + at.cframe);
  return cframe == 0 ? 0 : word_at(cframe + at.cframe_current);
}

}  // namespace memsnap::agent
