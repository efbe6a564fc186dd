#pragma once

#include <cstdint>

#include "inject/agent/frames.h"
#include "inject/agent/stack_trie.h"

// The Python stack of the calling thread, as a node of the trie. The whole chain of frames is followed down to its base
// each time, for recursion uses the same frames again; but frames that are as they were are only compared.
namespace memsnap::agent {

inline std::uint64_t position_of(std::uint64_t frame) { return frame >> 4 & (kFramePositions - 1); }

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

// Whether the chain, that is at `*next`, goes on with the frame that is remembered, and that is as it was.
template <class Frames>
[[gnu::always_inline]] inline bool goes_on(const Frames& frames, const ThreadCache::Known& known, std::uint64_t* next) {
  const std::uint64_t remembered = known.frame;
  const std::uint64_t here = unrelated(remembered);
  if (remembered != *next) [[unlikely]]
    return false;
  if (frames.key(here) != known.key) [[unlikely]]
    return false;
  *next = frames.previous(here);
  return true;
}

// The case of nearly every capture: the innermost frame is a known one, at the same instruction or at another, and the
// whole chain below it is as it was. Returns its place in `known`; 0: else.
template <class Frames>
[[gnu::always_inline]] inline std::uint32_t known_frame(const ThreadCache& self, const Frames& frames,
                                                        std::uint64_t top) {
  std::uint32_t at = self.frame_count;
  if (self.known[at].frame != top) {
    const std::uint32_t guess = self.position[position_of(top)];
    if (guess >= at || self.known[guess].frame != top) return 0;
    at = guess;
  }
  std::uint64_t next = frames.previous(top);
  for (const ThreadCache::Known* known = self.known + at;; known -= 4) {
#pragma GCC unroll 4
    for (int back = 1; back <= 4; ++back)
      if (!goes_on(frames, known[-back], &next)) [[unlikely]]
        return next == 0 && known - back == self.known ? at : 0;
  }
}

// A code object may have made way for another at its address, whose frame is then at the same place and instruction.
// When one is made that is seen, for it is allocated by a frame further out: what lies further in is forgotten then.
// Where it is not seen, this looks at the innermost frames, and forgets all when one of them runs another code.
template <class Frames>
[[gnu::always_inline]] inline void forget_other_codes(ThreadCache& self, const Frames& frames, std::uint64_t top) {
  constexpr int kLooked = 4;
  std::uint64_t frame = top;
  for (int i = 0; i < kLooked && frame != 0; ++i, frame = frames.previous(frame)) {
    const std::uint32_t at = self.position[position_of(frame)];
    if (at > self.frame_count || self.known[at].frame != frame || !frames.is_python(frame)) continue;
    if (self.code_mark[at] != frames.fingerprint(frame)) [[unlikely]] {
      self.frame_count = 0;
      return;
    }
  }
}
template <class Frames>
[[gnu::always_inline]] inline void mark_code(ThreadCache& self, const Frames& frames, std::uint32_t at,
                                             std::uint64_t frame) {
  if (tables.codes_unseen && frames.is_python(frame)) self.code_mark[at] = frames.fingerprint(frame);
}

// Any stack: frames may be new, or stand on others than before, or be too many. Returns its node; 0: no room.
template <class Frames>
std::uint32_t new_stack(ThreadCache& self, std::uint64_t top);
// What a walk gives that remembers nothing.
template <class Frames>
std::uint32_t stack_from_nothing(ThreadCache& self, std::uint64_t top);

// The Python frames of a stack as the cache has them, without their nodes.
struct Chain {
  std::uint32_t count = 0;
  std::uint32_t same = 0;  // how many of them, from the outermost on, are as they were
  bool cut = false;        // there are more, further out
};
template <class Frames>
Chain new_chain(ThreadCache& self, std::uint64_t top);

template <class Frames>
[[gnu::always_inline]] inline Chain refresh_chain(ThreadCache& self, const Frames& frames, std::uint64_t top) {
  if (tables.codes_unseen) forget_other_codes(self, frames, top);
  const std::uint32_t at = known_frame(self, frames, top);
  if (at == 0) return new_chain<Frames>(self, top);
  self.frame_count = at;
  const std::uint64_t key = frames.key(top);
  const bool same = self.known[at].key == key;
  if (!same) mark_code(self, frames, at, top);
  self.known[at].key = key;
  return {.count = at, .same = same ? at : at - 1};
}

}  // namespace memsnap::agent
