#include "inject/agent/stack_walk.h"

namespace memsnap::agent {
namespace {

// One capture of a stack that may not be as it was.
template <class Frames>
class Walk {
 public:
  explicit Walk(ThreadCache& self) : self_(self), frames_(config.layout), most_(tables.depth) {}

  std::uint32_t run(std::uint64_t top) {
    if (!match(top) || kept_ + added_ > most_) return deep(top);
    return renew();
  }

  Chain refresh(std::uint64_t top) {
    if (!match(top) || kept_ + added_ > most_) return deep_chain(top);
    std::uint32_t i = kept_;
    while (added_ > 0) put(++i, self_.fresh[--added_]);
    self_.frame_count = i;
    return {.count = i, .same = changed_ < kept_ ? changed_ : kept_};
  }

  std::uint32_t from_nothing(std::uint64_t top) {
    std::uint32_t count = 0;
    for (std::uint64_t frame = top; frame != 0; frame = frames_.previous(frame)) {
      if (count == most_) return deep(top);
      self_.fresh[count++] = frame;
    }
    std::uint32_t node = self_.record->node;
    while (count > 0 && node != 0) {
      const std::uint64_t frame = self_.fresh[--count];
      if (!frames_.is_python(frame)) continue;
      const std::uint64_t code = frames_.code(frame);
      node = node_of(node, code_of(code, fingerprint_of(config.layout, code)), frames_.instruction(frame));
    }
    return node;
  }

 private:
  // Splits the chain into frames to add (`fresh`) and the first `kept_` known ones, of which those from `changed_` on
  // are at another instruction. False: too many frames.
  bool match(std::uint64_t frame) {
    std::uint32_t known = self_.frame_count;
    for (;;) {
      std::uint32_t at = 0;
      for (; frame != 0; frame = frames_.previous(frame)) {
        at = self_.position[position_of(frame)];
        if (at <= known && self_.known[at].frame == frame) break;
        if (added_ == kMostFrames) return false;
        self_.fresh[added_++] = frame;
      }
      if (frame == 0) {
        kept_ = changed_ = 0;
        return true;
      }
      const std::uint32_t left = compare(at, &frame);
      if (left == 0 && frame == 0) {
        kept_ = at;
        return true;
      }
      // The frames after `left` up to `at` are in the chain, but on top of others than they were.
      for (std::uint32_t i = at; i > left; --i) {
        if (added_ == kMostFrames) return false;
        self_.fresh[added_++] = self_.known[i].frame;
      }
      known = left;
    }
  }

  // Compares from frame `at` outwards. Returns how many known frames are left when it comes to one that is not the
  // next in the chain, which is then in `*frame`.
  std::uint32_t compare(std::uint32_t at, std::uint64_t* frame) {
    std::uint64_t next = *frame;
    std::uint32_t i = at;
    changed_ = i;
    for (; i > 0; --i) {
      const std::uint64_t remembered = self_.known[i].frame;
      const std::uint64_t here = unrelated(remembered);
      if (remembered != next) break;
      const std::uint64_t key = frames_.key(here);
      if (self_.known[i].key != key) [[unlikely]] {
        self_.known[i].key = key;
        mark_code(self_, frames_, i, here);
        changed_ = i - 1;
      }
      next = frames_.previous(here);
    }
    *frame = next;
    return i;
  }

  std::uint32_t renew() {
    self_.frame_count = 0;  // till it is whole again
    std::uint32_t i = changed_ < kept_ ? changed_ : kept_;
    std::uint32_t node = self_.node[i];
    while (i < kept_) {
      ++i;
      self_.node[i] = node = node_below(self_, frames_, node, self_.known[i].frame);
    }
    while (added_ > 0) {
      const std::uint64_t frame = self_.fresh[--added_];
      put(++i, frame);
      self_.node[i] = node = node_below(self_, frames_, node, frame);
    }
    if (node != 0) self_.frame_count = i;
    return node;
  }

  void put(std::uint32_t i, std::uint64_t frame) {
    self_.known[i] = {.frame = frame, .key = frames_.key(frame)};
    self_.position[position_of(frame)] = static_cast<std::uint16_t>(i);
    mark_code(self_, frames_, i, frame);
  }

  // A stack with more frames than are kept: the outer ones are left away by half of `most_` at a time, so that a
  // growing stack does not make new paths of all its frames with each one.
  [[gnu::noinline, gnu::cold]] std::uint32_t deep(std::uint64_t top) {
    bool cut = false;
    std::uint64_t keep = innermost(top, &cut);
    std::uint32_t node = self_.record->node;
    if (cut) node = node_of(self_, node, kNodeCut, 0);
    while (keep > 0 && node != 0) node = node_below(self_, frames_, node, self_.fresh[--keep]);
    return node;
  }

  [[gnu::noinline, gnu::cold]] Chain deep_chain(std::uint64_t top) {
    Chain chain;
    std::uint64_t keep = innermost(top, &chain.cut);
    while (keep > 0) put(++chain.count, self_.fresh[--keep]);
    return chain;
  }

  // Fills `fresh` with as many frames as are kept of a deep stack, the innermost first. 0: it has no end.
  std::uint64_t innermost(std::uint64_t top, bool* cut) {
    constexpr std::uint64_t kBroken = 1u << 20;
    self_.frame_count = 0;
    std::uint64_t total = 0;
    for (std::uint64_t frame = top; frame != 0; frame = frames_.previous(frame)) {
      if (++total == kBroken) {
        add_relaxed(&tables.header->lost.broken_stack, std::uint64_t{1});
        return 0;
      }
    }
    const std::uint64_t step = most_ > 1 ? most_ / 2 : 1;
    std::uint64_t keep = total;
    if (total > most_) keep = total - (total - most_ + step - 1) / step * step;
    std::uint64_t frame = top;
    for (std::uint64_t i = 0; i < keep; ++i, frame = frames_.previous(frame)) self_.fresh[i] = frame;
    *cut = keep < total;
    return keep;
  }

  ThreadCache& self_;
  Frames frames_;
  std::uint32_t most_;
  std::uint32_t added_ = 0;
  std::uint32_t kept_ = 0;
  std::uint32_t changed_ = 0;
};

}  // namespace

template <class Frames>
std::uint32_t new_stack(ThreadCache& self, std::uint64_t top) {
  return Walk<Frames>(self).run(top);
}

template <class Frames>
std::uint32_t stack_from_nothing(ThreadCache& self, std::uint64_t top) {
  return Walk<Frames>(self).from_nothing(top);
}

template <class Frames>
Chain new_chain(ThreadCache& self, std::uint64_t top) {
  return Walk<Frames>(self).refresh(top);
}

template Chain new_chain<FramesAt<8, 56>>(ThreadCache&, std::uint64_t);
template Chain new_chain<EntryFrames>(ThreadCache&, std::uint64_t);
template Chain new_chain<FramesAnywhere>(ThreadCache&, std::uint64_t);
template Chain new_chain<ObjectFrames>(ThreadCache&, std::uint64_t);
template std::uint32_t new_stack<FramesAt<8, 56>>(ThreadCache&, std::uint64_t);
template std::uint32_t new_stack<FramesAt<48, 56>>(ThreadCache&, std::uint64_t);
template std::uint32_t new_stack<FramesAnywhere>(ThreadCache&, std::uint64_t);
template std::uint32_t new_stack<ObjectFrames>(ThreadCache&, std::uint64_t);
template std::uint32_t stack_from_nothing<FramesAt<8, 56>>(ThreadCache&, std::uint64_t);
template std::uint32_t stack_from_nothing<FramesAt<48, 56>>(ThreadCache&, std::uint64_t);
template std::uint32_t stack_from_nothing<FramesAnywhere>(ThreadCache&, std::uint64_t);
template std::uint32_t stack_from_nothing<ObjectFrames>(ThreadCache&, std::uint64_t);

}  // namespace memsnap::agent
