#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace memsnap {

// References that a conservative scan found: from Python objects to blocks, and between blocks. Numbers are indices.
struct NativeLinks {
  using Link = std::pair<std::uint32_t, std::uint32_t>;
  std::uint32_t blocks = 0;
  std::vector<Link> from_object;  // (object, block), sorted
  std::vector<Link> from_module;  // the same, from module objects: they own only what no other object leads to
  std::vector<Link> from_block;   // (block, block), sorted
  std::vector<float> density;     // of each block: which part of it is pointers
};

// What leads to a block, of all that seems to.
struct NativeParent {
  std::uint32_t number = 0xffffffff;  // of an object or block
  bool is_object = false;
  bool reached() const { return number != 0xffffffff; }
};

// Gives each block one parent, so that following parents ends at the object it belongs to. Memory that was not cleared
// is full of what it held before, and libraries link their blocks to lists of all of a kind. Blocks that all lead to
// one another (a document's nodes) are a group: the fewest groups on the way from an object count, then the fewest
// steps, then the block of which more is pointers. Linear.
std::vector<NativeParent> assign_parents(const NativeLinks& links);

}  // namespace memsnap
