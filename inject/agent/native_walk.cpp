#include "inject/agent/native_walk.h"

#include "inject/agent/code_table.h"

namespace memsnap::agent {
namespace {

bool in_image(std::uint64_t address) {
  return address >= tables.header->image_begin && address < tables.header->image_end;
}

std::uint32_t find_rule(std::uint64_t pc) {
  const std::uint32_t ranges = load_acquire(&tables.header->native.ranges);
  for (std::uint32_t i = 0; i < ranges && i < tables.range_capacity; ++i) {
    const AgentRuleRange range = tables.ranges[i];
    if (pc < range.begin || pc >= range.end || range.first + range.count > tables.rule_capacity) continue;
    const AgentRule* const rows = tables.rules + range.first;
    const std::uint64_t offset = pc - range.begin;
    std::uint64_t low = 0;  // rows before it begin at or before `offset`
    std::uint64_t high = range.count;
    while (low < high) {
      const std::uint64_t middle = (low + high) / 2;
      if (rows[middle].offset <= offset) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low == 0 ? 0 : rows[low - 1].rule;
  }
  return 0;
}

std::uint32_t flags_of(std::uint64_t pc) {
  const AgentNative& native = tables.header->native;
  if (in_image(pc)) return kFrameIsAgent;
  for (std::uint32_t i = 0; i < native.loop_count && i < kMostLoopRanges; ++i)
    if (pc >= native.loops[i].begin && pc < native.loops[i].end) return kFrameIsLoop;
  return 0;
}

using KnownRule = NativeCache::KnownRule;

const KnownRule& rule_at(NativeCache& cache, std::uint64_t address) {
  static_assert(kKnownRules == 1u << 10);
  KnownRule& known = cache.known_rules[address * 0x9e3779b97f4a7c15ull >> 54];
  if (known.address != address) [[unlikely]] {
    const std::uint64_t call = address - 1;  // the return address may be that of the next function
    known = {.address = address, .rule = find_rule(call), .flags = flags_of(call)};
  }
  return known;
}

// The bounds of the stack that `pointer` is on. False: they are not known, and nothing may be read.
bool find_bounds(NativeCache& cache, std::uint64_t pointer) {
  const AgentNative& native = tables.header->native;
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  std::uint64_t block = 0;
  if (pointer >= native.main_low && pointer < native.main_high) {
    low = native.main_low;
    high = native.main_high;
  } else if (native.stack_offset != 0 && (block = control_block()) != 0) {
    const auto* const stack = reinterpret_cast<const ThreadStackBlock*>(block + native.stack_offset);
    if (stack->holds(pointer, block)) {
      low = stack->begin + stack->guard;
      high = block & ~std::uint64_t{7};
    }
  }
  // What was found by other bounds says nothing by these.
  if (cache.low != low || cache.high != high || cache.control_block != block) cache.count = cache.merged_chain = 0;
  cache.low = low;
  cache.high = high;
  cache.control_block = block;
  return high != 0;
}

// One walk, that goes on till it comes to frames which are as they were.
class NativeWalk {
 public:
  explicit NativeWalk(NativeCache& cache) : cache_(cache), nowhere_(reinterpret_cast<std::uint64_t>(&cache.nothing)) {}

  std::uint32_t run(const NativeFrame& innermost) {
    innermost_ = innermost;
    std::uint32_t known = cache_.once ? 0 : cache_.count;
    cache_.count = 0;  // till it is whole again
    NativeFrame frame = innermost;
    for (;;) {
      while (known > 0 && cache_.frames[known - 1].stack < frame.stack) --known;
      if (known > 0 && is_same(cache_.frames[known - 1], frame) && known - 1 <= cache_.first_indirect) {
        const std::uint32_t wrong = compare(known - 1);
        if (wrong == kNone) return keep(known, frame);
        // Frames `wrong` to known - 1 are in the stack, on top of others than they were.
        if (!add(frame)) return cut();
        indirect_ = false;
        for (std::uint32_t i = known - 1; i > wrong; --i)
          if (!add(cache_.frames[i - 1])) return cut();
        frame = cache_.frames[wrong];
        known = wrong;
      } else if (!add(frame)) {
        return cut();
      }
      const Step step = next(&frame);
      if (step == Step::kOn) continue;
      cache_.complete = step == Step::kEnd;
      cache_.once = indirect_;  // which compare() does not see
      cache_.end_at = end_at_;
      return finish(0, kNever);
    }
  }

 private:
  enum class Step { kOn, kEnd, kCut };
  static constexpr std::uint32_t kNone = kNever;

  static bool is_same(const NativeFrame& a, const NativeFrame& b) {
    return a.stack == b.stack && a.address == b.address && a.base == b.base;
  }
  std::uint32_t words_before(std::uint32_t i) const { return i == 0 ? 0 : cache_.word_count[i - 1]; }

  void put(std::uint32_t i, const NativeFrame& frame) {
    const KnownRule& known = rule_at(cache_, frame.address);
    cache_.frames[i] = frame;
    cache_.flags[i] = static_cast<std::uint8_t>(known.flags);
    std::uint32_t count = words_before(i);
    cache_.words[count++] = {.at = frame.stack - 8, .value = frame.address};
    if (frame.base_at != 0 && needs_base(unpacked(known.rule)))
      cache_.words[count++] = {.at = frame.base_at, .value = frame.base};
    cache_.word_count[i] = count;
  }

  // Whether a caller may be found by the frame's rbp: most functions save it for themselves and do not use it so.
  static bool needs_base(const UnwindRule& rule) {
    return rule.kind != UnwindKind::kStack || rule.base == 0 || rule.base == kBaseAtBase;
  }

  // Compares all words that the frames further out than `at` were read from. kNone: they are as they were; else the
  // outermost frame whose own are, and those of the frames further in.
  std::uint32_t compare(std::uint32_t at) const {
    const NativeCache::Word* word = cache_.words + words_before(at);
#pragma GCC unroll 8
    while (word != cache_.words) {
      --word;
      if (word_at(word->at) != word->value) [[unlikely]]
        return changed(at, static_cast<std::uint32_t>(word - cache_.words));
    }
    return word_at(cache_.end_at) == 0 ? kNone : 0;
  }

  // The frame next to that which the word is of, on its inner side.
  std::uint32_t changed(std::uint32_t frame, std::uint32_t word) const {
    while (words_before(frame) > word) --frame;
    return frame + 1;
  }

  bool add(const NativeFrame& frame) {
    if (added_ == kMostNativeFrames) return false;
    if (indirect_) outermost_indirect_ = added_;
    cache_.fresh[added_++] = frame;
    return true;
  }

  // From a frame to its caller.
  Step next(NativeFrame* frame) {
    const UnwindRule rule = unpacked(rule_at(cache_, frame->address).rule);
    const std::uint64_t inner = frame->stack;
    std::uint64_t stack = inner + rule.offset;
    indirect_ = false;
    end_at_ = nowhere_;
    if (rule.kind == UnwindKind::kBase) {
      stack = frame->base + rule.offset;
    } else if (rule.kind == UnwindKind::kIndirect) {
      indirect_ = true;
      const std::uint64_t at = frame->base - rule.offset;
      if (!is_readable(inner, at)) return Step::kCut;
      stack = word_at(at);
    } else if (rule.kind != UnwindKind::kStack) {
      return rule.kind == UnwindKind::kOutermost ? Step::kEnd : Step::kCut;
    }
    if (stack < inner + 8 || stack > cache_.high || stack % 8 != 0) return Step::kCut;
    std::uint64_t base_at = 0;
    if (rule.base != 0) {
      base_at = rule.base == kBaseAtBase ? frame->base : stack - rule.base;
      if (!is_readable(inner, base_at)) return Step::kCut;
    }
    const std::uint64_t base = base_at != 0 ? word_at(base_at) : frame->base;
    const std::uint64_t address = word_at(stack - 8);
    *frame = {.stack = stack, .address = address, .base = base, .base_at = base_at};
    if (address != 0) return Step::kOn;
    end_at_ = stack - 8;
    return Step::kEnd;
  }

  bool is_readable(std::uint64_t inner, std::uint64_t at) const { return at >= inner && at <= cache_.high - 8; }

  // Frames up to known - 1 stay. That one may have been come to by another way than before.
  std::uint32_t keep(std::uint32_t known, const NativeFrame& frame) {
    if (known + added_ > kMostNativeFrames) return NativeWalk(cache_).run(innermost_);  // keeps nothing
    put(known - 1, frame);
    return finish(known, indirect_ ? known - 1 : kNever);
  }

  // The frames that were added come on top of the first `kept`.
  std::uint32_t finish(std::uint32_t kept, std::uint32_t first_indirect) {
    if (first_indirect == kNever && outermost_indirect_ != kNever)
      first_indirect = kept + added_ - 1 - outermost_indirect_;
    cache_.first_indirect = first_indirect;
    std::uint32_t i = kept;
    for (; added_ > 0; ++i) {
      put(i, cache_.fresh[--added_]);
    }
    cache_.count = i;
    return kept;
  }

  // More frames than are kept. Where it is cut depends on the addresses, so that a stack that grows is cut where it
  // was.
  [[gnu::noinline, gnu::cold]] std::uint32_t cut() {
    std::uint32_t most = 0;
    std::uint32_t last = kMostNativeFrames / 2;
    for (std::uint32_t i = last; i < added_; ++i) {
      const std::uint64_t changed = cache_.fresh[i].stack ^ cache_.fresh[i - 1].stack;
      const auto bits = 64 - static_cast<std::uint32_t>(__builtin_clzll(changed | 1));
      if (bits > most) {
        most = bits;
        last = i;
      }
    }
    added_ = last;
    outermost_indirect_ = kNever;
    cache_.complete = false;
    cache_.once = true;
    return finish(0, kNever);
  }

  NativeCache& cache_;
  NativeFrame innermost_{};
  std::uint64_t nowhere_;
  std::uint64_t end_at_ = 0;
  std::uint32_t added_ = 0;
  std::uint32_t outermost_indirect_ = kNever;  // in `fresh`
  bool indirect_ = false;  // whether the frame at hand was found through a word that compare() does not look at
};

}  // namespace

NativeFrame caller_of_hook() {
  constexpr int kMost = 32;
  auto frame = reinterpret_cast<std::uint64_t>(__builtin_frame_address(0));
  // Every function of the image keeps a frame pointer.
  for (int i = 0; i < kMost && in_image(word_at(frame + 8)); ++i) frame = word_at(frame);
  return {.stack = frame + 16, .address = word_at(frame + 8), .base = word_at(frame), .base_at = 0};
}

std::uint32_t refresh_native(NativeCache& cache, const NativeFrame& innermost) {
  const std::uint32_t version = load_acquire(&tables.header->native.version);
  if (version != cache.version) [[unlikely]] {
    for (KnownRule& known : cache.known_rules) known.address = 0;
    cache.count = 0;
    cache.version = version;
  }
  if (find_bounds(cache, innermost.stack)) return NativeWalk(cache).run(innermost);
  cache.frames[0] = innermost;
  cache.flags[0] = 0;
  cache.count = 1;
  cache.complete = false;
  cache.once = true;
  return 0;
}

}  // namespace memsnap::agent
