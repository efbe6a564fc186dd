#pragma once

#include <cstdint>

#include "inject/protocol/agent_abi.h"

namespace memsnap::agent {

inline constexpr std::uint32_t kMostFrames = 1024;
inline constexpr std::uint32_t kFramePositions = 1024;
inline constexpr std::uint32_t kKnownNodes = 512;
inline constexpr std::uint32_t kKnownCodes = 256;
inline constexpr std::uint32_t kKnownSites = 512;
inline constexpr std::uint32_t kKnownPlaces = 256;
inline constexpr std::uint64_t kNoFrame = 1;

// What a thread remembers between two of its allocations: its part of the scratch section, zero at first.
struct ThreadCache {  // NOLINTBEGIN(modernize-avoid-c-arrays): no library here
  AgentThread* record;
  std::uint64_t last_block;  // the latest that was recorded, till it is freed or another one is allocated
  std::int64_t countdown;    // bytes to the next sample
  std::uint64_t random;
  // The stack as it was last seen, from 1 on, the outermost frame first; before it kNoFrame, and the thread's own node.
  // `key` changes with the instruction (and, to 3.10, the code).
  std::uint32_t frame_count;
  struct Known {
    std::uint64_t frame, key;
  } known[kMostFrames + 1];
  std::uint64_t code_mark[kMostFrames + 1];  // fingerprint of the frame's code, where codes may be made unseen
  std::uint32_t node[kMostFrames + 1];
  std::uint64_t fresh[kMostFrames];         // frames being added, innermost first
  std::uint16_t position[kFramePositions];  // by the frame's address, a guess
  struct KnownNode {
    std::uint64_t instruction;
    std::uint32_t parent, code, node;
  } known_nodes[kKnownNodes];
  struct KnownCode {
    std::uint64_t address, fingerprint;
    std::uint32_t index;
  } known_codes[kKnownCodes];
  struct KnownSite {
    std::uint32_t key, site;  // key: node and allocator
  } known_sites[kKnownSites];
  // What an allocation at an instruction on top of a stack led to.
  struct Place {
    std::uint64_t key, fingerprint;   // of the innermost frame, and of its code
    std::uint32_t parent, allocator;  // the node below it
    std::uint32_t node, site;
  } places[kKnownPlaces];
};  // NOLINTEND(modernize-avoid-c-arrays)
static_assert(sizeof(ThreadCache) <= kAgentScratch);

}  // namespace memsnap::agent
