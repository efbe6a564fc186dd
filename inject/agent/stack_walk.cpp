#include "inject/agent/stack_walk.h"

#include "inject/agent/frames.h"
#include "inject/agent/stack_trie.h"

namespace memsnap::agent {
namespace {

// The same frame, but the compiler does not know. Compared frames are read by this: the processor then goes ahead by
// the addresses remembered, and the chain, each link of which waits for the one before it, is only compared with them.
// No frame is read that the chain has not come to.
inline std::uint64_t unrelated(std::uint64_t frame) {
  asm volatile("" : "+r"(frame));
  return frame;
}

// One capture of a stack. The whole chain is followed down to its base each time, for recursion uses the same frames
// again; but frames that are as they were are only compared, and not looked up in the trie.
template <class Frames>
class Walk {
 public:
  Walk(ThreadCache& self, std::uint32_t most) : self_(self), frames_(config.layout), most_(most) {}

  std::uint32_t run(std::uint64_t top) {
    if (const std::uint32_t node = as_it_was(top)) return node;
    return anew(top);
  }

  // Without any memory of the last one.
  [[gnu::noinline]] std::uint32_t from_nothing(std::uint64_t top) {
    std::uint32_t count = 0;
    for (std::uint64_t frame = top; frame != 0; frame = frames_.previous(frame)) {
      if (count == most_) return deep(top);
      self_.fresh[count++] = frame;
    }
    std::uint32_t node = self_.record->node;
    while (count > 0 && node != 0) node = below(node, self_.fresh[--count], false);
    return node;
  }

 private:
  // The case of nearly every capture: the innermost frame is a known one, at the same instruction or at another, and
  // the whole chain below it is as it was. 0: else.
  std::uint32_t as_it_was(std::uint64_t top) {
    std::uint32_t at = self_.frame_count - 1;  // of none: beyond all
    if (at >= kMostFrames) return 0;
    if (self_.frame[at] != top) {
      const std::uint32_t guess = self_.position[position_of(top)];
      if (guess >= at || self_.frame[guess] != top) return 0;
      at = guess;
    }
    std::uint64_t next = frames_.previous(top);
    for (std::uint32_t i = at; i > 0; --i) {
      const std::uint64_t remembered = self_.frame[i - 1];
      const std::uint64_t here = unrelated(remembered);
      if (remembered != next || frames_.key(here) != self_.key[i - 1]) return 0;
      next = frames_.previous(here);
    }
    if (next != 0) return 0;
    self_.frame_count = at + 1;
    const std::uint64_t key = frames_.key(top);
    if (self_.key[at] == key) return self_.node[at];
    const std::uint32_t node = below(at == 0 ? self_.record->node : self_.node[at - 1], top, true);
    if (node == 0) {
      self_.frame_count = 0;
      return 0;
    }
    self_.key[at] = key;
    return self_.node[at] = node;
  }

  [[gnu::noinline]] std::uint32_t anew(std::uint64_t top) {
    if (!match(top) || kept_ + added_ > most_) return deep(top);
    return renew();
  }

  // Splits the chain into frames to add (`fresh`) and the first `kept_` known ones, of which those from `changed_` on
  // are at another instruction. False: too many frames.
  bool match(std::uint64_t frame) {
    std::uint32_t known = self_.frame_count;
    for (;;) {
      std::uint32_t at = 0;
      for (; frame != 0; frame = frames_.previous(frame)) {
        at = self_.position[position_of(frame)];
        if (at < known && self_.frame[at] == frame) break;
        if (added_ == kMostFrames) return false;
        self_.fresh[added_++] = frame;
      }
      if (frame == 0) {
        kept_ = changed_ = 0;
        return true;
      }
      const std::uint32_t left = compare(at, &frame);
      if (left == 0 && frame == 0) {
        kept_ = at + 1;
        return true;
      }
      // Frames `left` to `at` are in the chain, but on top of others than they were.
      for (std::uint32_t i = at + 1; i > left; --i) {
        if (added_ == kMostFrames) return false;
        self_.fresh[added_++] = self_.frame[i - 1];
      }
      known = left;
    }
  }

  // Compares from frame `at` outwards. Returns how many known frames are left when it comes to one that is not the
  // next in the chain, which is then in `*frame`.
  std::uint32_t compare(std::uint32_t at, std::uint64_t* frame) {
    std::uint64_t next = *frame;
    std::uint32_t i = at + 1;
    changed_ = i;
    for (; i > 0; --i) {
      const std::uint64_t remembered = self_.frame[i - 1];
      const std::uint64_t here = unrelated(remembered);
      if (remembered != next) break;
      const std::uint64_t key = frames_.key(here);
      if (self_.key[i - 1] != key) [[unlikely]] {
        self_.key[i - 1] = key;
        changed_ = i - 1;
      }
      next = frames_.previous(here);
    }
    *frame = next;
    return i;
  }

  std::uint32_t renew() {
    self_.frame_count = 0;  // till it is whole again
    std::uint32_t node = changed_ == 0 ? self_.record->node : self_.node[changed_ - 1];
    std::uint32_t i = changed_;
    for (; i < kept_; ++i) {
      node = below(node, self_.frame[i], true);
      self_.node[i] = node;
    }
    while (added_ > 0) {
      const std::uint64_t frame = self_.fresh[--added_];
      node = below(node, frame, true);
      self_.frame[i] = frame;
      self_.key[i] = frames_.key(frame);
      self_.node[i] = node;
      self_.position[position_of(frame)] = static_cast<std::uint16_t>(i);
      ++i;
    }
    if (node != 0) self_.frame_count = i;
    return node;
  }

  // A stack with more frames than are kept: the outer ones are left away by half of `most_` at a time, so that a
  // growing stack does not make new paths of all its frames with each one.
  [[gnu::noinline, gnu::cold]] std::uint32_t deep(std::uint64_t top) {
    constexpr std::uint64_t kBroken = 1u << 20;
    self_.frame_count = 0;
    std::uint64_t total = 0;
    for (std::uint64_t frame = top; frame != 0; frame = frames_.previous(frame)) {
      if (++total == kBroken) {
        add_relaxed(&tables.header->lost.broken_stack, std::uint64_t{1});
        return self_.record->node;
      }
    }
    const std::uint64_t step = most_ > 1 ? most_ / 2 : 1;
    std::uint64_t keep = total;
    if (total > most_) keep = total - (total - most_ + step - 1) / step * step;
    std::uint64_t frame = top;
    for (std::uint64_t i = 0; i < keep; ++i, frame = frames_.previous(frame)) self_.fresh[i] = frame;
    std::uint32_t node = self_.record->node;
    if (keep < total) node = node_of(self_, node, kNodeCut, 0);
    while (keep > 0 && node != 0) node = below(node, self_.fresh[--keep], true);
    return node;
  }

  std::uint32_t below(std::uint32_t parent, std::uint64_t frame, bool remembered) {
    if (!frames_.is_python(frame) || parent == 0) return parent;
    const std::uint64_t code = frames_.code(frame);
    if (!remembered)
      return node_of(parent, code_of(code, fingerprint_of(config.layout, code)), frames_.instruction(frame));
    return node_of(self_, parent, code_of(self_, code), frames_.instruction(frame));
  }

  static std::uint64_t position_of(std::uint64_t frame) { return frame >> 4 & (kFramePositions - 1); }

  ThreadCache& self_;
  Frames frames_;
  std::uint32_t most_;
  std::uint32_t added_ = 0;
  std::uint32_t kept_ = 0;
  std::uint32_t changed_ = 0;
};

template <class Frames>
[[gnu::noinline]] std::uint32_t capture(ThreadCache& self, std::uint64_t top) {
  const std::uint32_t depth = control().depth;
  const std::uint32_t most = depth < kMostFrames ? depth : kMostFrames;
  if (most == 0) return self.record->node;
  const std::uint32_t node = Walk<Frames>(self, most).run(top);
  if (kChecksStacks && Walk<Frames>(self, most).from_nothing(top) != node)
    add_relaxed(&tables.header->lost.mismatches, std::uint64_t{1});
  return node;
}

}  // namespace

std::uint32_t stack_node(ThreadCache& self) {
  const std::uint64_t top = innermost_frame();
  if (top == 0) return self.record->node;
  return config.layout.frame.size != 0 ? capture<InterpreterFrames>(self, top) : capture<ObjectFrames>(self, top);
}

}  // namespace memsnap::agent
