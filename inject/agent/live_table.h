#pragma once

#include <cstdint>

#include "inject/agent/tables.h"

// The shadow: a word for each 16 bytes of the address space that ever held a block.
namespace memsnap::agent {

// The word of an address, or null where no block was recorded in the whole MiB.
inline std::uint64_t* slot_of(std::uint64_t address) {
  const std::uint64_t root = address >> kLeafShift;
  if (root >= tables.root_count) [[unlikely]]
    return nullptr;
  const std::uint64_t leaf = load_acquire(tables.roots + root);
  if (leaf == 0) [[unlikely]]
    return nullptr;
  return tables.leaves + leaf * kLeafWords + (address >> 4 & (kLeafWords - 1));
}

// Makes the leaf. Null: no room, or the address is beyond the shadow.
[[gnu::noinline, gnu::cold]] std::uint64_t* new_slot(std::uint64_t address);

// False: not recorded.
inline bool put(std::uint64_t address, std::uint64_t word) {
  std::uint64_t* slot = slot_of(address);
  if (slot == nullptr) [[unlikely]] {
    slot = new_slot(address);
    if (slot == nullptr) return false;
  }
  if ((address & 15) != 0 && *slot != 0) [[unlikely]]
    add_relaxed(&tables.header->lost.odd_address, std::uint64_t{1});
  __atomic_store_n(slot, word, __ATOMIC_RELEASE);
  return true;
}

// What was recorded of the block at this address, which is forgotten. 0: nothing.
inline std::uint64_t take(std::uint64_t address) {
  std::uint64_t* const slot = slot_of(address);
  if (slot == nullptr) return 0;
  const std::uint64_t word = __atomic_load_n(slot, __ATOMIC_RELAXED);
  if (word != 0) __atomic_store_n(slot, 0, __ATOMIC_RELEASE);
  return word;
}

}  // namespace memsnap::agent
