#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "snapshot/model/heap_graph.h"

namespace memsnap {

// Object addresses to node indices in ascending order of address, by rank in a bitmap of 16-byte slots: two objects
// never share a slot. Costs 1/128 of the heap's address range plus 1/1024 for the counts.
class AddressIndex {
 public:
  AddressIndex();
  ~AddressIndex();
  AddressIndex(AddressIndex&&) noexcept;
  AddressIndex& operator=(AddressIndex&&) noexcept;
  AddressIndex(const AddressIndex&) = delete;
  AddressIndex& operator=(const AddressIndex&) = delete;

  bool insert(std::uint64_t address);  // false: its slot was taken, or it is above the 47-bit address space
  bool contains(std::uint64_t address) const;
  void finish();                                // numbers the slots; no insert afterwards
  NodeIndex find(std::uint64_t address) const;  // kNoNode: not inserted; only after finish()

 private:
  struct Block;  // one for each MiB in which something is
  Block* block(std::uint64_t address) const;

  std::vector<std::unique_ptr<Block>> blocks_;         // in order of creation
  std::vector<std::vector<std::uint32_t>> directory_;  // by address bits 34-46, 20-33: index in blocks_ + 1
};

}  // namespace memsnap
