#pragma once

#include <cstdint>

#include "inject/agent/tables.h"

namespace memsnap::agent {

inline constexpr std::uint32_t kMostNativeFrames = 4096;
inline constexpr std::uint32_t kKnownRules = 1024;
inline constexpr std::uint32_t kNever = 0xffffffff;

// Where a call returns to, as the registers are then.
struct NativeFrame {
  std::uint64_t stack;    // rsp; the return address lies in the eight bytes before
  std::uint64_t address;  // rip
  std::uint64_t base;     // rbp
  std::uint64_t base_at;  // where rbp was read; 0: nowhere, it is that of the frame further in
};

inline constexpr std::uint8_t kFrameIsLoop = 1;   // runs Python code
inline constexpr std::uint8_t kFrameIsAgent = 2;  // the agent's own

// What a thread remembers of its native stack, and of how it was merged with the Python frames in its ThreadCache: its
// part of the section native_scratch, zero at first. Stacks are kept the outermost frame first.
struct NativeCache {             // NOLINTBEGIN(modernize-avoid-c-arrays): no library here
  std::uint64_t low, high;       // nothing is read but between these; the calling thread's own stack
  std::uint64_t control_block;   // the thread they are of; 0: the stack of the process
  std::uint32_t version;         // of the rules
  std::uint32_t count;           // of frames
  std::uint32_t first_indirect;  // the outermost frame that was found through more than its two words
  bool complete;                 // frame 0 is the outermost one of the thread
  bool once;                     // not to be compared with: it ends where another walk might not
  std::uint64_t end_at;          // where the return address was that ended it, 0; where nothing was, `nothing`
  std::uint64_t nothing;         // always 0
  // Of the latest merged stack.
  std::uint32_t merged_frames, merged_chain;  // of how many native and Python frames; 0: not to be gone on from
  std::int32_t shift;                         // of segments of Python frames against loops
  bool merged_complete;
  NativeFrame frames[kMostNativeFrames];
  // The words that the frames further out than one were found by: they are as they were while these are.
  struct Word {
    std::uint64_t at, value;
  } words[2 * kMostNativeFrames];
  std::uint32_t word_count[kMostNativeFrames];  // of a frame and those further out
  NativeFrame fresh[kMostNativeFrames];         // being added, innermost first
  std::uint32_t node[kMostNativeFrames];        // after the frame, and the Python frames it runs
  std::uint32_t chain[kMostNativeFrames];       // how many Python frames that were
  std::uint32_t loops[kMostNativeFrames];       // how many loops, this frame included
  std::uint8_t flags[kMostNativeFrames];
  std::uint32_t segment[kMostFrames];  // by Python frame: how many segments begin with it and further out
  struct KnownRule {
    std::uint64_t address;
    std::uint32_t rule, flags;
  } known_rules[kKnownRules];
};  // NOLINTEND(modernize-avoid-c-arrays)

// The CHECK build has a second one of both.
static_assert(2 * sizeof(NativeCache) + sizeof(ThreadCache) <= kAgentNativeScratch);

inline NativeCache& native_cache_of(const ThreadCache& self) {
  const auto record = static_cast<std::uint64_t>(self.record - tables.threads);
  return *reinterpret_cast<NativeCache*>(tables.native_scratch + record * kAgentNativeScratch);
}

}  // namespace memsnap::agent
