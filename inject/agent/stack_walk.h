#pragma once

#include <cstdint>

#include "inject/agent/frames.h"
#include "inject/agent/stack_trie.h"

// The Python stack of the calling thread, as a node of the trie. The whole chain of frames is followed down to its base
// each time, for recursion uses the same frames again; but frames that are as they were are only compared.
namespace memsnap::agent {

inline std::uint64_t position_of(std::uint64_t frame) { return frame >> 4 & (kFramePositions - 1); }

inline std::uint32_t most_frames() {
  const std::uint32_t depth = control().depth;
  return depth < kMostFrames ? depth : kMostFrames;
}

// The path of native and Python frames of the calling thread: merged_stack.cpp.
[[gnu::noinline]] std::uint32_t merged_stack_node(ThreadCache& self);

// The same frame, but the compiler does not know. Compared frames are read by this: the processor then goes ahead by
// the addresses remembered, and the chain, each link of which waits for the one before it, is only compared with them.
// No frame is read that the chain has not come to.
inline std::uint64_t unrelated(std::uint64_t frame) {
  asm volatile("" : "+r"(frame));
  return frame;
}

template <class Frames>
[[gnu::always_inline]] inline std::uint32_t node_below(ThreadCache& self, const Frames& frames, std::uint32_t parent,
                                                       std::uint64_t frame) {
  if (!frames.is_python(frame) || parent == 0) return parent;
  return node_of(self, parent, code_of(self, frames.code(frame)), frames.instruction(frame));
}

// The case of nearly every capture: the innermost frame is a known one, at the same instruction or at another, and the
// whole chain below it is as it was. 0: else.
template <class Frames>
[[gnu::always_inline]] inline std::uint32_t known_stack(ThreadCache& self, const Frames& frames, std::uint64_t top) {
  std::uint32_t at = self.frame_count - 1;  // of none: beyond all
  if (at >= kMostFrames) return 0;
  if (self.frame[at] != top) {
    const std::uint32_t guess = self.position[position_of(top)];
    if (guess >= at || self.frame[guess] != top) return 0;
    at = guess;
  }
  std::uint64_t next = frames.previous(top);
  const std::uint64_t* frame = self.frame + at;
  const std::uint64_t* key = self.key + at;
#pragma GCC unroll 8
  while (frame != self.frame) {
    const std::uint64_t remembered = *--frame;
    const std::uint64_t here = unrelated(remembered);
    if (remembered != next || frames.key(here) != *--key) return 0;
    next = frames.previous(here);
  }
  if (next != 0) return 0;
  self.frame_count = at + 1;
  const std::uint64_t top_key = frames.key(top);
  if (self.key[at] == top_key) return self.node[at];
  const std::uint32_t node = node_below(self, frames, at == 0 ? self.record->node : self.node[at - 1], top);
  if (node == 0) {
    self.frame_count = 0;
    return 0;
  }
  self.key[at] = top_key;
  return self.node[at] = node;
}

// Any other: frames that are new, or stand on others than before, or are too many. 0: no room.
template <class Frames>
std::uint32_t new_stack(ThreadCache& self, std::uint64_t top);
// What a walk gives that remembers nothing.
template <class Frames>
std::uint32_t stack_from_nothing(ThreadCache& self, std::uint64_t top);

template <class Frames>
[[gnu::always_inline]] inline std::uint32_t capture(ThreadCache& self, std::uint64_t top) {
  const std::uint32_t known = known_stack(self, Frames(config.layout), top);
  const std::uint32_t node = known != 0 ? known : new_stack<Frames>(self, top);
  if (kChecksStacks && stack_from_nothing<Frames>(self, top) != node)
    add_relaxed(&tables.header->lost.mismatches, std::uint64_t{1});
  return node;
}

// The Python frames of a stack as the cache has them, without their nodes.
struct Chain {
  std::uint32_t count = 0;
  std::uint32_t same = 0;  // how many of them, from the outermost on, are as they were
  bool cut = false;        // there are more, further out
};
template <class Frames>
Chain new_chain(ThreadCache& self, std::uint64_t top);

// As known_stack.
template <class Frames>
[[gnu::always_inline]] inline Chain refresh_chain(ThreadCache& self, const Frames& frames, std::uint64_t top) {
  const std::uint32_t at = self.frame_count - 1;
  if (at >= kMostFrames || self.frame[at] != top) return new_chain<Frames>(self, top);
  std::uint64_t next = frames.previous(top);
  const std::uint64_t* frame = self.frame + at;
  const std::uint64_t* key = self.key + at;
#pragma GCC unroll 8
  while (frame != self.frame) {
    const std::uint64_t remembered = *--frame;
    const std::uint64_t here = unrelated(remembered);
    if (remembered != next || frames.key(here) != *--key) return new_chain<Frames>(self, top);
    next = frames.previous(here);
  }
  if (next != 0) return new_chain<Frames>(self, top);
  const std::uint64_t top_key = frames.key(top);
  const bool same = self.key[at] == top_key;
  self.key[at] = top_key;
  return {.count = at + 1, .same = same ? at + 1 : at};
}

// The thread's own node when it runs no Python code. 0: no room for it, and the block is not to be recorded.
[[gnu::always_inline]] inline std::uint32_t stack_node(ThreadCache& self) {
  if (tables.native) return merged_stack_node(self);
  const std::uint64_t top = innermost_frame();
  if (top == 0 || control().depth == 0) return self.record->node;
  switch (tables.frame_form) {
    case FrameForm::kAt8And56:
      return capture<FramesAt<8, 56>>(self, top);
    case FrameForm::kAt48And56:
      return capture<FramesAt<48, 56>>(self, top);
    case FrameForm::kObjects:
      return capture<ObjectFrames>(self, top);
    case FrameForm::kUnknown:  // the first stack of a program that was caught before its interpreter was there
      tables.frame_form = frame_form_of(config.layout);
      if (tables.frame_form == FrameForm::kObjects) return capture<ObjectFrames>(self, top);
      break;
    case FrameForm::kAnywhere:
      break;
  }
  return capture<FramesAnywhere>(self, top);
}

}  // namespace memsnap::agent
