#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <span>
#include <string_view>
#include <vector>

#include "attach/process_memory.h"

namespace memsnap {

// A target's memory made by a test: pages at chosen addresses, zero at first; all else is not mapped.
class FakeMemory final : public ProcessMemory {
 public:
  void map(std::uint64_t begin, std::size_t size) { blocks_[begin].resize(size); }

  template <Readable T>
  void put(std::uint64_t address, const T& value) {
    put_bytes(address, std::as_bytes(std::span(&value, 1)));
  }
  void put_text(std::uint64_t address, std::string_view text) { put_bytes(address, std::as_bytes(std::span(text))); }

  bool copy(std::uint64_t address, std::span<std::byte> out) const override {
    const auto block = block_of(address);
    if (block == blocks_.end() || address - block->first + out.size() > block->second.size()) return false;
    std::copy_n(block->second.begin() + static_cast<std::ptrdiff_t>(address - block->first), out.size(), out.begin());
    return true;
  }

 private:
  using Blocks = std::map<std::uint64_t, std::vector<std::byte>>;

  Blocks::const_iterator block_of(std::uint64_t address) const {
    const auto above = blocks_.upper_bound(address);
    return above == blocks_.begin() ? blocks_.end() : std::prev(above);
  }
  void put_bytes(std::uint64_t address, std::span<const std::byte> bytes) {
    auto& [begin, block] = *std::prev(blocks_.upper_bound(address));
    std::copy(bytes.begin(), bytes.end(), block.begin() + static_cast<std::ptrdiff_t>(address - begin));
  }

  Blocks blocks_;
};

}  // namespace memsnap
