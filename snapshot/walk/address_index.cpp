#include "snapshot/walk/address_index.h"

#include <array>
#include <bit>

namespace memsnap {
namespace {

constexpr unsigned kBlockShift = 20;  // 1 MiB: an object alone in its block costs 12 KiB
constexpr unsigned kDirectoryShift = 34;
constexpr std::size_t kWords = (1ull << kBlockShift) / 16 / 64;
constexpr std::size_t kDirectories = 1ull << (47 - kDirectoryShift);
constexpr std::size_t kPerDirectory = 1ull << (kDirectoryShift - kBlockShift);

std::size_t word_of(std::uint64_t address) { return address >> 10 & (kWords - 1); }
std::uint64_t bit_of(std::uint64_t address) { return 1ull << (address >> 4 & 63); }

}  // namespace

struct AddressIndex::Block {
  std::array<std::uint64_t, kWords> bits{};
  std::array<std::uint32_t, kWords> before{};  // slots taken in front of each word, over all blocks
};

AddressIndex::AddressIndex() : directory_(kDirectories) {}
AddressIndex::~AddressIndex() = default;
AddressIndex::AddressIndex(AddressIndex&&) noexcept = default;
AddressIndex& AddressIndex::operator=(AddressIndex&&) noexcept = default;

AddressIndex::Block* AddressIndex::block(std::uint64_t address) const {
  if (address >> 47 != 0) return nullptr;
  const auto& directory = directory_[address >> kDirectoryShift];
  if (directory.empty()) return nullptr;
  const std::uint32_t index = directory[address >> kBlockShift & (kPerDirectory - 1)];
  return index == 0 ? nullptr : blocks_[index - 1].get();
}

bool AddressIndex::insert(std::uint64_t address) {
  if (address >> 47 != 0) return false;
  Block* found = block(address);
  if (found == nullptr) {
    auto& directory = directory_[address >> kDirectoryShift];
    if (directory.empty()) directory.resize(kPerDirectory);
    blocks_.push_back(std::make_unique<Block>());
    directory[address >> kBlockShift & (kPerDirectory - 1)] = static_cast<std::uint32_t>(blocks_.size());
    found = blocks_.back().get();
  }
  std::uint64_t& word = found->bits[word_of(address)];
  if ((word & bit_of(address)) != 0) return false;
  word |= bit_of(address);
  return true;
}

bool AddressIndex::contains(std::uint64_t address) const {
  const Block* found = block(address);
  return found != nullptr && (found->bits[word_of(address)] & bit_of(address)) != 0;
}

void AddressIndex::finish() {
  std::uint32_t count = 0;
  for (const auto& directory : directory_) {
    for (const std::uint32_t index : directory) {
      if (index == 0) continue;
      Block& at = *blocks_[index - 1];
      for (std::size_t i = 0; i < kWords; ++i) {
        at.before[i] = count;
        count += static_cast<std::uint32_t>(std::popcount(at.bits[i]));
      }
    }
  }
}

NodeIndex AddressIndex::find(std::uint64_t address) const {
  const Block* found = block(address);
  if (found == nullptr) return kNoNode;
  const std::uint64_t word = found->bits[word_of(address)];
  if ((word & bit_of(address)) == 0) return kNoNode;
  return found->before[word_of(address)] + static_cast<NodeIndex>(std::popcount(word & (bit_of(address) - 1)));
}

}  // namespace memsnap
