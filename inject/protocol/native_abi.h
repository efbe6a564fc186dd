#pragma once

#include <cstdint>

// How the agent gets from a frame of native code to its caller: rules that memsnap makes of .eh_frame, as rows of eight
// bytes in the shared memory. A row holds from its address to that of the next one.
namespace memsnap {

struct AgentRule {
  std::uint32_t offset;  // of the address, from AgentRuleRange::begin
  std::uint32_t rule;    // packed, see UnwindRule
};

// The rows of one library, ascending. An empty range (end equal to begin) is of a library that is gone.
struct AgentRuleRange {
  std::uint64_t begin;  // addresses
  std::uint64_t end;
  std::uint64_t first;  // in the section of rules
  std::uint64_t count;
};

enum class UnwindKind : std::uint32_t {
  kNone,       // no code, or code without a rule
  kStack,      // the caller's stack begins at rsp + offset
  kBase,       // at rbp + offset
  kIndirect,   // at the address that lies at rbp - offset (a function that aligns its stack)
  kOutermost,  // there is no caller
  kUnknown,    // a rule that has no row: the stack ends here, cut
};

// The return address always lies in the eight bytes before the caller's stack.
struct UnwindRule {
  UnwindKind kind = UnwindKind::kNone;
  std::uint32_t offset = 0;
  std::uint32_t base = 0;  // how far below the caller's stack its rbp was saved; 0: rbp is the caller's

  bool operator==(const UnwindRule&) const = default;
};
inline constexpr std::uint32_t kBaseAtBase = 0xfff * 8;  // as base: the caller's rbp lies where rbp points to
inline constexpr std::uint32_t kMostUnwindOffset = 0x1ffff * 8;
inline constexpr std::uint32_t kMostUnwindBase = 0xffe * 8;

// Offsets are multiples of eight. 3 bits of kind, 17 of offset, 12 of base.
constexpr std::uint32_t packed(const UnwindRule& rule) {
  return static_cast<std::uint32_t>(rule.kind) | rule.offset / 8 << 3 | rule.base / 8 << 20;
}
constexpr UnwindRule unpacked(std::uint32_t word) {
  return {static_cast<UnwindKind>(word & 7), (word >> 3 & 0x1ffff) * 8, (word >> 20) * 8};
}

struct AgentCodeRange {
  std::uint64_t begin, end;
};
inline constexpr std::uint32_t kMostLoopRanges = 4;

// In the header. Written by memsnap, also while the agent runs: a number that counts something comes after it.
struct AgentNative {
  std::uint32_t ranges;        // AgentRuleRange so far
  std::uint32_t version;       // another one when ranges came or went: what was looked up before is forgotten
  std::uint64_t main_low;      // the stack of the process: nothing else can be mapped between these
  std::uint64_t main_high;     // 0: not known
  std::uint32_t stack_offset;  // in a thread control block: where the stack of a thread is, see below; 0: not known
  std::uint32_t loop_count;    // of loops
  AgentCodeRange loops[kMostLoopRanges];  // NOLINT(modernize-avoid-c-arrays): the code of the evaluation loop
};

// What the C library keeps at stack_offset in a thread control block: the memory that it gave the thread as a stack, of
// which the lowest `guard` bytes are not to be touched. The control block lies at its upper end.
struct ThreadStackBlock {
  std::uint64_t begin, size, guard;

  // Whether `pointer` is on this stack, below `control_block`.
  constexpr bool holds(std::uint64_t pointer, std::uint64_t control_block) const {
    constexpr std::uint64_t kMostSize = 1ull << 40;
    constexpr std::uint64_t kMostAbove = 1ull << 20;  // the control block itself, and thread-local variables
    constexpr std::uint64_t kPage = 4096;
    return begin != 0 && begin < 1ull << 47 && begin % 16 == 0 && size < kMostSize && guard % kPage == 0 &&
           guard < size && control_block > begin && control_block < begin + size &&
           begin + size - control_block < kMostAbove && pointer >= begin + guard && pointer < control_block;
  }
};

inline constexpr std::uint64_t kAgentNativeScratch = 1u << 20;  // of each thread record, in the section native_scratch

}  // namespace memsnap
