#include "inject/agent/stack_trie.h"

namespace memsnap::agent {

// A key is only ever looked up by the thread whose node is at its root (record 0 has one user at a time), so no two
// threads make the same node.
std::uint32_t node_of(std::uint32_t parent, std::uint32_t code, std::uint64_t instruction) {
  constexpr std::uint64_t kMostProbes = 4096;
  std::uint64_t hash = mixed(mixed(instruction) + (static_cast<std::uint64_t>(parent) << 32 | code));
  std::uint32_t made = 0;
  for (std::uint64_t probe = 0; probe < kMostProbes; ++probe, ++hash) {
    std::uint32_t* const at = tables.node_hash + (hash & tables.node_mask);
    std::uint32_t found = load_acquire(at);
    if (found == 0) {
      if (made == 0) {
        made = next_number(&tables.header->node_count, tables.node_capacity);
        if (made == 0) return 0;
        tables.nodes[made] = {.parent = parent, .code = code, .instruction = instruction};
      }
      if (__atomic_compare_exchange_n(at, &found, made, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE)) return made;
    }
    const AgentNode& node = tables.nodes[found];
    if (node.instruction == instruction && node.parent == parent && node.code == code) return found;
  }
  add_relaxed(&tables.header->lost.no_room, std::uint64_t{1});
  return 0;
}

}  // namespace memsnap::agent
