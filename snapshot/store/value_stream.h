#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "snapshot/store/container.h"

// A part that holds integers, most of them small (differences from a prediction): docs/file_format.md, "Values".
// A value is a token of one byte and, above 15, some bits in a row of their own: zstd sees tokens beside tokens.
namespace memsnap {

inline constexpr std::size_t kBlockValues = 1u << 17;

constexpr std::uint64_t zigzag(std::int64_t value) {
  return static_cast<std::uint64_t>(value) << 1 ^ static_cast<std::uint64_t>(value >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t value) {
  return static_cast<std::int64_t>(value >> 1 ^ (0 - (value & 1)));
}

class ValueWriter {
 public:
  ValueWriter(ContainerWriter& out, std::uint32_t part, std::uint32_t flags = 0);

  void put(std::uint64_t value) {
    if (count_ == kBlockValues) flush();
    if (value < 16) {
      tokens_[count_++] = static_cast<std::uint8_t>(value);
      return;
    }
    // 16, then four tokens for each power of two: the token holds the two bits below the highest.
    const auto rest = static_cast<unsigned>(std::bit_width(value)) - 3;
    tokens_[count_++] = static_cast<std::uint8_t>(16 + (rest - 2) * 4 + (value >> rest & 3));
    put_bits(value & ((std::uint64_t{1} << rest) - 1), rest);
  }
  void finish();

 private:
  void put_bits(std::uint64_t bits, unsigned count) {
    std::uint64_t word = 0;
    std::uint8_t* at = &bits_[bit_count_ >> 3];
    std::memcpy(&word, at, 8);
    const unsigned shift = bit_count_ & 7;
    word |= bits << shift;
    std::memcpy(at, &word, 8);
    if (shift + count > 64) at[8] = static_cast<std::uint8_t>(bits >> (64 - shift));
    bit_count_ += count;
  }
  void flush();

  ContainerWriter& out_;
  std::vector<std::uint8_t> tokens_, bits_;
  std::size_t count_ = 0;
  std::size_t bit_count_ = 0;
  std::uint64_t total_ = 0;
};

class ValueReader {
 public:
  ValueReader(ContainerReader& reader, const PartEntry& part) : blocks_(reader, part), left_(part.items) {}

  // Throws Error kBadFile when there is no further value.
  std::uint64_t get() {
    if (at_ == count_) next_block();
    const std::uint8_t token = tokens_[at_++];
    if (token < 16) return token;
    const unsigned rest = (token - 16u) / 4 + 2;
    const std::uint64_t value = (4ull | (token & 3)) << rest;
    if (rest > bit_end_ - bit_) blocks_.throw_damaged();
    std::uint64_t word = 0;
    const std::uint8_t* at = bits_ + (bit_ >> 3);
    std::memcpy(&word, at, 8);
    const unsigned shift = bit_ & 7;
    word >>= shift;
    if (shift + rest > 64) word |= static_cast<std::uint64_t>(at[8]) << (64 - shift);
    bit_ += rest;
    return value | (word & ((std::uint64_t{1} << rest) - 1));
  }
  // A value that must be at most `most`.
  std::uint64_t get_up_to(std::uint64_t most) {
    const std::uint64_t value = get();
    if (value > most) blocks_.throw_damaged();
    return value;
  }
  std::uint64_t items() const { return blocks_.part().items; }
  void finish();  // there must be no further value, and the checksum must be right
  [[noreturn]] void throw_damaged() const { blocks_.throw_damaged(); }

 private:
  void next_block();

  ContainerReader::Blocks blocks_;
  std::uint64_t left_;
  const std::uint8_t* tokens_ = nullptr;
  const std::uint8_t* bits_ = nullptr;
  std::size_t at_ = 0;
  std::size_t count_ = 0;
  std::size_t bit_ = 0;
  std::size_t bit_end_ = 0;
};

}  // namespace memsnap
