#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

namespace memsnap {

// Where the chunks of a contiguous heap begin, and which are free: two bits for each 16 bytes, in blocks that are only
// there where a chunk begins. Addresses are added in ascending order.
class ChunkIndex {
 public:
  ChunkIndex() = default;
  explicit ChunkIndex(std::uint64_t begin) : begin_(begin), end_(begin) {}

  void add(std::uint64_t address, std::uint64_t size);  // the next chunk; size > 0
  void set_free(std::uint64_t address) { block_of(address)->free[word_of(address)] |= bit_of(address); }
  bool is_free(std::uint64_t address) const {
    return (block_of(address)->free[word_of(address)] & bit_of(address)) != 0;
  }
  bool begins_at(std::uint64_t address) const;
  // Begin and end of the chunk that holds an address.
  struct Extent {
    std::uint64_t begin, end;
  };
  std::optional<Extent> find(std::uint64_t address) const;

  std::uint64_t begin() const { return begin_; }
  std::uint64_t end() const { return end_; }

  // Calls visit(begin, end, free) for each chunk.
  template <typename Visit>
  void for_each(const Visit& visit) const {
    std::uint64_t open = 0;
    bool open_free = false;
    for (std::size_t i = 0; i < blocks_.size(); ++i) {
      if (!blocks_[i]) continue;
      for (std::size_t word = 0; word < kWords; ++word) {
        for (std::uint64_t bits = blocks_[i]->starts[word]; bits != 0; bits &= bits - 1) {
          const std::uint64_t at =
              base() + (i << kBlockShift) + (word << 10) + (static_cast<std::uint64_t>(std::countr_zero(bits)) << 4);
          if (open != 0) visit(open, at, open_free);
          open = at;
          open_free = (blocks_[i]->free[word] & bits & (~bits + 1)) != 0;
        }
      }
    }
    if (open != 0) visit(open, end_, open_free);
  }

 private:
  static constexpr unsigned kBlockShift = 20;
  static constexpr std::size_t kWords = (1ull << kBlockShift) / 16 / 64;
  struct Block {
    std::array<std::uint64_t, kWords> starts{};
    std::array<std::uint64_t, kWords> free{};
  };

  std::uint64_t base() const { return begin_ >> kBlockShift << kBlockShift; }
  static std::size_t word_of(std::uint64_t address) { return address >> 10 & (kWords - 1); }
  static std::uint64_t bit_of(std::uint64_t address) { return 1ull << (address >> 4 & 63); }
  std::size_t index_of(std::uint64_t address) const { return (address - base()) >> kBlockShift; }
  Block* block_of(std::uint64_t address) const { return blocks_[index_of(address)].get(); }
  std::uint64_t next_start(std::uint64_t after) const;  // end_ when there is none

  std::uint64_t begin_ = 0;
  std::uint64_t end_ = 0;
  std::vector<std::unique_ptr<Block>> blocks_;
};

}  // namespace memsnap
