#include "snapshot/memory/chunk_index.h"

namespace memsnap {

void ChunkIndex::add(std::uint64_t address, std::uint64_t size) {
  const std::size_t index = index_of(address);
  if (index >= blocks_.size()) blocks_.resize(index + 1);
  if (!blocks_[index]) blocks_[index] = std::make_unique<Block>();
  blocks_[index]->starts[word_of(address)] |= bit_of(address);
  end_ = address + size;
}

bool ChunkIndex::begins_at(std::uint64_t address) const {
  if (address < begin_ || address >= end_ || address % 16 != 0) return false;
  const std::size_t index = index_of(address);
  if (index >= blocks_.size() || !blocks_[index]) return false;
  return (blocks_[index]->starts[word_of(address)] & bit_of(address)) != 0;
}

std::uint64_t ChunkIndex::next_start(std::uint64_t after) const {
  std::size_t word = word_of(after);
  std::uint64_t mask = ~(bit_of(after) | (bit_of(after) - 1));
  for (std::size_t i = index_of(after); i < blocks_.size(); ++i, word = 0, mask = ~0ull) {
    if (!blocks_[i]) continue;
    for (; word < kWords; ++word, mask = ~0ull) {
      const std::uint64_t bits = blocks_[i]->starts[word] & mask;
      if (bits == 0) continue;
      return base() + (i << kBlockShift) + (word << 10) + (static_cast<std::uint64_t>(std::countr_zero(bits)) << 4);
    }
  }
  return end_;
}

std::optional<ChunkIndex::Extent> ChunkIndex::find(std::uint64_t address) const {
  if (address < begin_ || address >= end_ || blocks_.empty()) return std::nullopt;
  std::size_t i = index_of(address);
  std::size_t word = word_of(address);
  std::uint64_t mask = bit_of(address) | (bit_of(address) - 1);
  if (i >= blocks_.size()) {
    i = blocks_.size() - 1;
    word = kWords - 1;
    mask = ~0ull;
  }
  for (;; --i, word = kWords - 1) {
    for (std::size_t left = blocks_[i] ? word + 1 : 0; left > 0; --left, mask = ~0ull) {
      const std::uint64_t bits = blocks_[i]->starts[left - 1] & mask;
      if (bits == 0) continue;
      const std::uint64_t at = base() + (i << kBlockShift) + ((left - 1) << 10) +
                               (static_cast<std::uint64_t>(63 - std::countl_zero(bits)) << 4);
      return Extent{at, next_start(at)};
    }
    mask = ~0ull;
    if (i == 0) return std::nullopt;
  }
}

}  // namespace memsnap
