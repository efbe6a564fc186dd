#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <set>
#include <span>

#include "tests/unit/cpython/fake_arena.h"

namespace memsnap {

// A forged target: an arena that is also seen above the address space of a process, with pages torn out of it, and a
// stretch of one word repeated for a terabyte. Counts the reads, so that a test can say what is bounded.
class HostileMemory final : public ProcessMemory {
 public:
  static constexpr std::uint64_t kHigh = 1ull << 47;  // kHigh + address: the same bytes
  static constexpr std::uint64_t kEndless = 1ull << 40;
  static constexpr std::uint64_t kEndlessEnd = 1ull << 41;
  static constexpr std::uint64_t kPage = 4096;

  explicit HostileMemory(const FakeArena& arena) : arena_(arena) {}

  void tear(std::uint64_t address) { torn_.insert(address / kPage); }
  void repeat(std::uint64_t word) { endless_ = word; }
  std::uint64_t reads() const { return reads_; }

  bool copy(std::uint64_t address, std::span<std::byte> out) const override {
    ++reads_;
    if (address >= kEndless && address < kEndlessEnd && out.size() <= kEndlessEnd - address) {
      std::array<std::byte, 8> word{};
      std::memcpy(word.data(), &endless_, word.size());
      for (std::size_t i = 0; i < out.size(); ++i) out[i] = word[(address + i) % word.size()];
      return true;
    }
    if (address >= kHigh) address -= kHigh;
    const auto torn = torn_.lower_bound(address / kPage);
    if (torn != torn_.end() && *torn <= (address + out.size() - 1) / kPage) return false;
    return arena_.copy(address, out);
  }

 private:
  const FakeArena& arena_;
  std::set<std::uint64_t> torn_;
  std::uint64_t endless_ = 0;
  mutable std::uint64_t reads_ = 0;
};

}  // namespace memsnap
