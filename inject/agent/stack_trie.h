#pragma once

#include <cstdint>

#include "inject/agent/tables.h"

namespace memsnap::agent {

// The node below `parent`, made when there is none. 0: no room.
[[gnu::noinline]] std::uint32_t node_of(std::uint32_t parent, std::uint32_t code, std::uint64_t instruction);

// The same through what this thread has asked lately.
[[gnu::always_inline]] inline std::uint32_t node_of(ThreadCache& self, std::uint32_t parent, std::uint32_t code,
                                                    std::uint64_t instruction) {
  const std::uint64_t above = static_cast<std::uint64_t>(parent) << 24 ^ static_cast<std::uint64_t>(code) << 12;
  const std::uint64_t hash = (instruction ^ above) * 0x9e3779b97f4a7c15ull;
  ThreadCache::KnownNode& known = self.known_nodes[hash >> 55];
  static_assert(kKnownNodes == 1u << (64 - 55));
  if (known.instruction == instruction && known.parent == parent && known.code == code) [[likely]]
    return known.node;
  const std::uint32_t node = node_of(parent, code, instruction);
  if (node != 0) known = {.instruction = instruction, .parent = parent, .code = code, .node = node};
  return node;
}

}  // namespace memsnap::agent
