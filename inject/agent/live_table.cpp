#include "inject/agent/live_table.h"

namespace memsnap::agent {

std::uint64_t* new_slot(std::uint64_t address) {
  const std::uint64_t root = address >> kLeafShift;
  if (root >= tables.root_count) {
    add_relaxed(&tables.header->lost.odd_address, std::uint64_t{1});
    return nullptr;
  }
  check_lease();
  const std::uint32_t leaf = next_number(&tables.header->leaf_count, tables.leaf_capacity);
  if (leaf == 0) return nullptr;
  // When another thread was faster, this leaf is never used: it has no memory yet.
  std::uint32_t none = 0;
  __atomic_compare_exchange_n(tables.roots + root, &none, leaf, false, __ATOMIC_RELEASE, __ATOMIC_ACQUIRE);
  return slot_of(address);
}

}  // namespace memsnap::agent
