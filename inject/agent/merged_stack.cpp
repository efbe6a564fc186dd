// Native and Python frames as one path of the trie. Python frames stand where the evaluation loop is that runs them.
#include "inject/agent/native_walk.h"
#include "inject/agent/recorder.h"
#include "inject/agent/stack_walk.h"

namespace memsnap::agent {
namespace {

// Whether a new evaluation loop begins with a frame. `in_stack`: the frame lies in the thread's native stack.
bool begins_segment(const ObjectFrames& /*frames*/, std::uint64_t /*frame*/, bool /*in_stack*/) { return true; }
bool begins_segment(const EntryFrames& frames, std::uint64_t frame, bool /*in_stack*/) {
  return frames.is_entry(frame);
}
// 3.12+: the loop puts a frame of its own below those it runs, which lies among its variables. 3.15 has one more, below
// all others and elsewhere.
bool begins_segment(const FramesAnywhere& frames, std::uint64_t frame, bool in_stack) {
  return in_stack && !frames.is_python(frame);
}

template <class Frames>
inline constexpr bool kLoopsHaveFrames = true;
template <>
inline constexpr bool kLoopsHaveFrames<ObjectFrames> = false;
template <>
inline constexpr bool kLoopsHaveFrames<EntryFrames> = false;

template <class Frames>
class Merge {
 public:
  Merge(ThreadCache& self, NativeCache& native, const Chain& chain)
      : self_(self), native_(native), frames_(config.layout), chain_(chain) {}

  // `same` native frames are as they were. 0: no room.
  std::uint32_t run(std::uint32_t same) {
    std::uint32_t same_chain = chain_.same < native_.merged_chain ? chain_.same : native_.merged_chain;
    count_segments(same_chain);
    std::uint32_t at = same < native_.merged_frames ? same : native_.merged_frames;
    while (at > 0 && native_.chain[at - 1] > same_chain) --at;
    if (kLoopsHaveFrames<Frames>) at = before_new_loop(at, same_chain);
    count_loops(at);
    const std::uint32_t segments = chain_.count == 0 ? 0 : native_.segment[chain_.count - 1];
    const std::uint32_t loops = native_.count == 0 ? 0 : native_.loops[native_.count - 1];
    const auto shift = static_cast<std::int32_t>(segments - loops);
    if (shift != native_.shift || native_.complete != native_.merged_complete || chain_.cut) at = 0;
    same_chain_ = same_chain;
    native_.merged_frames = native_.merged_chain = 0;  // till it is whole again
    native_.shift = shift;
    native_.merged_complete = native_.complete;
    const std::uint32_t node = build(at);
    if (node != 0 && !chain_.cut && shift <= 0) {
      native_.merged_frames = native_.count;
      native_.merged_chain = chain_.count;
    }
    return node;
  }

 private:
  std::uint64_t frame_of(std::uint32_t i) const { return self_.known[i + 1].frame; }  // of the chain's, from 0 on

  void count_segments(std::uint32_t from) {
    std::uint32_t segment = from == 0 ? 0 : native_.segment[from - 1];
    for (std::uint32_t i = from; i < chain_.count; ++i) {
      if (begins(i)) ++segment;
      native_.segment[i] = segment;
    }
  }
  bool begins(std::uint32_t i) const {
    const std::uint64_t frame = frame_of(i);
    return begins_segment(frames_, frame, frame >= native_.low && frame < native_.high);
  }
  bool begins_known(std::uint32_t i) const { return native_.segment[i] != (i == 0 ? 0 : native_.segment[i - 1]); }

  // Of `at` native frames those that are further out than any loop that was not there before.
  std::uint32_t before_new_loop(std::uint32_t at, std::uint32_t same_chain) const {
    std::uint32_t first = same_chain;
    while (first < chain_.count && !begins_known(first)) ++first;
    if (first == chain_.count) return at;
    while (at > 0 && native_.frames[at - 1].stack <= frame_of(first)) --at;
    return at;
  }

  void count_loops(std::uint32_t from) {
    std::uint32_t loops = from == 0 ? 0 : native_.loops[from - 1];
    std::uint32_t next = from == 0 ? 0 : native_.chain[from - 1];
    for (std::uint32_t i = from; i < native_.count; ++i) {
      if (kLoopsHaveFrames<Frames>) {
        const std::uint64_t end = i == 0 ? native_.high : native_.frames[i - 1].stack;
        const bool known_end = i > 0 || native_.complete;
        while (next < chain_.count && (!begins_known(next) || frame_of(next) >= end)) ++next;
        const bool is_loop = known_end && next < chain_.count && frame_of(next) >= native_.frames[i].stack;
        if (is_loop) ++next;
        native_.flags[i] = static_cast<std::uint8_t>((native_.flags[i] & kFrameIsAgent) | (is_loop ? kFrameIsLoop : 0));
      }
      if ((native_.flags[i] & kFrameIsLoop) != 0) ++loops;
      native_.loops[i] = loops;
    }
  }

  // From native frame `at` on. Loops and segments are matched from the innermost on: of the outer ones there may be
  // some that the other has not (greenlets; a stack that is cut). More segments than loops in a whole stack are no
  // match: then all Python frames come first.
  std::uint32_t build(std::uint32_t at) {
    const std::int32_t shift = native_.shift;
    bool shown = !chain_.cut || shift >= 0;
    node_ = self_.record->node;
    done_ = 0;
    if (at > 0) {
      node_ = native_.node[at - 1];
      done_ = native_.chain[at - 1];
    } else {
      if (!native_.complete || chain_.cut) node_ = node_of(self_, node_, kNodeCut, 0);
      if (shift >= 0) add_segments(shift > 0 && native_.complete ? chain_.count : static_cast<std::uint32_t>(shift));
    }
    for (std::uint32_t i = at; i < native_.count && node_ != 0; ++i) {
      const std::uint8_t flags = native_.flags[i];
      if ((flags & kFrameIsLoop) != 0) {
        const std::int32_t segment = static_cast<std::int32_t>(native_.loops[i]) + shift;
        if (segment >= 0) add_segments(static_cast<std::uint32_t>(segment));
        shown = shown || segment > 0;
      } else if (shown && (flags & kFrameIsAgent) == 0) {
        node_ = node_of(self_, node_, kNodeNativeFrame, native_.frames[i].address);
      }
      native_.node[i] = node_;
      native_.chain[i] = done_;
    }
    return node_;
  }

  void add_segments(std::uint32_t last) {
    while (done_ < chain_.count && native_.segment[done_] <= last && node_ != 0) {
      if (done_ < same_chain_ && skip_same()) continue;
      node_ = node_below(self_, frames_, node_, frame_of(done_));
      self_.node[++done_] = node_;
    }
  }

  // A frame that is as it was has the node it had, if that is below the same node; one of the interpreter's own, none.
  bool skip_same() {
    const std::uint32_t known = self_.node[done_ + 1];
    if (known == node_) {
      ++done_;
      return true;
    }
    const AgentNode& had = tables.nodes[known];
    if (known == 0 || had.parent != node_ || had.code >= kNodeSpecial) return false;
    // Those of its segment followed without anything between.
    if (native_.segment[same_chain_ - 1] == native_.segment[done_]) done_ = same_chain_ - 1;
    node_ = self_.node[++done_];
    return true;
  }

  ThreadCache& self_;
  NativeCache& native_;
  Frames frames_;
  Chain chain_;
  std::uint32_t node_ = 0;
  std::uint32_t done_ = 0;        // Python frames
  std::uint32_t same_chain_ = 0;  // of them
};

template <class Frames>
std::uint32_t merged(ThreadCache& self, NativeCache& native, std::uint32_t same, std::uint64_t top) {
  Chain chain;
  if (top != 0 && tables.depth != 0) chain = refresh_chain(self, Frames(config.layout), top);
  return Merge<Frames>(self, native, chain).run(same);
}

std::uint32_t merged(ThreadCache& self, NativeCache& native, const NativeFrame& caller);

// Of a program that was caught before its interpreter was there. Nothing of it is remembered: which loops have frames
// of their own is known with the interpreter.
std::uint32_t merged_early(ThreadCache& self, NativeCache& native, const NativeFrame& caller, std::uint32_t same,
                           std::uint64_t top) {
  std::uint32_t node = 0;
  if (top == 0) node = merged<FramesAnywhere>(self, native, same, top);
  native.count = native.merged_frames = native.merged_chain = 0;
  if (top == 0) return node;
  choose_recorder();
  return merged(self, native, caller);
}

std::uint32_t merged(ThreadCache& self, NativeCache& native, const NativeFrame& caller) {
  const std::uint32_t same = refresh_native(native, caller);
  const std::uint64_t top = innermost_frame();
  switch (tables.frame_form) {
    case FrameForm::kAt8And56:
      return merged<FramesAt<8, 56>>(self, native, same, top);
    case FrameForm::kAt48And56:
      return merged<EntryFrames>(self, native, same, top);
    case FrameForm::kObjects:
      return merged<ObjectFrames>(self, native, same, top);
    case FrameForm::kUnknown:
      return merged_early(self, native, caller, same, top);
    case FrameForm::kAnywhere:
      break;
  }
  return merged<FramesAnywhere>(self, native, same, top);
}

}  // namespace

std::uint32_t merged_stack_node(ThreadCache& self) {
  NativeCache& native = native_cache_of(self);
  const NativeFrame caller = caller_of_hook();
  const std::uint32_t node = merged(self, native, caller);
  if (!native.complete) add_relaxed(&tables.header->lost.native_cut, std::uint64_t{1});
  if (kChecksStacks) {
    NativeCache& other = *(&native + 1);
    auto& blank = *reinterpret_cast<ThreadCache*>(&native + 2);
    blank.record = self.record;
    blank.known[0].frame = kNoFrame;
    blank.frame_count = other.count = other.merged_frames = other.merged_chain = 0;
    if (merged(blank, other, caller) != node) add_relaxed(&tables.header->lost.mismatches, std::uint64_t{1});
  }
  return node;
}

}  // namespace memsnap::agent
