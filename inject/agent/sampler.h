#pragma once

#include <cstdint>

// Sampling by bytes: the gaps between samples are exponential, with a mean of `period` bytes. All in integers, since a
// hook must leave the floating-point state of its caller alone.
namespace memsnap::agent {

__extension__ typedef unsigned __int128 Wide;  // NOLINT(modernize-use-using): __extension__ takes only this

inline std::uint64_t next_random(std::uint64_t& state) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state * 0x2545f4914f6cdd1dull;
}

// -log2(value / 2^64), in 2^-32.
inline std::uint64_t minus_log2(std::uint64_t value) {
  if (value == 0) value = 1;
  const auto zeros = static_cast<unsigned>(__builtin_clzll(value));
  std::uint64_t mantissa = value << zeros;  // 1 to 2, in 2^-63
  std::uint64_t fraction = 0;
  for (int bit = 0; bit < 32; ++bit) {
    const Wide square = static_cast<Wide>(mantissa) * mantissa;
    const bool is_two = square >> 127 != 0;
    mantissa = static_cast<std::uint64_t>(square >> (is_two ? 64 : 63));
    fraction = fraction << 1 | static_cast<std::uint64_t>(is_two);
  }
  return (static_cast<std::uint64_t>(zeros + 1) << 32) - fraction;
}

// Bytes to the next sample.
inline std::int64_t draw(std::uint64_t& random, std::uint64_t period) {
  constexpr std::uint64_t kLn2 = 0xb17217f7;  // in 2^-32
  const Wide nats = static_cast<Wide>(minus_log2(next_random(random))) * kLn2 >> 32;
  return static_cast<std::int64_t>(nats * period >> 32);
}

// The quotient must fit into 64 bits. A wide division would be a call into a library.
inline std::uint64_t divide(Wide dividend, std::uint64_t divisor) {
  auto quotient = static_cast<std::uint64_t>(dividend);
  auto rest = static_cast<std::uint64_t>(dividend >> 64);
  asm("divq %2" : "+a"(quotient), "+d"(rest) : "r"(divisor) : "cc");
  return quotient;
}

// How likely a block of this size is hit: 1 - exp(-size / period), in 2^-62.
inline std::uint64_t hit_probability(std::uint64_t size, std::uint64_t period) {
  constexpr std::uint64_t kOne = 1ull << 62;
  if (size / 40 >= period) return kOne;
  // size / period = halvings * ln 2 + rest, the rest in 2^-56.
  constexpr std::uint64_t kLn2 = 0xb17217f7d1cf79;  // in 2^-56
  std::uint64_t rest = divide(static_cast<Wide>(size) << 56, period);
  const std::uint64_t halvings = rest / kLn2;
  rest %= kLn2;
  // 1 - exp(-r) = r (1 - r/2 (1 - r/3 (1 - ...))): keeps its precision for small r.
  std::uint64_t sum = kOne;
  for (std::uint64_t term = 20; term >= 2; --term)
    sum = kOne - static_cast<std::uint64_t>(static_cast<Wide>(rest) * sum >> 56) / term;
  const auto lost = static_cast<std::uint64_t>(static_cast<Wide>(rest) * sum >> 56);
  return kOne - ((kOne - lost) >> halvings);
}

// What one sampled block of this size stands for.
struct Weight {
  std::uint64_t count;  // in 256ths
  std::uint64_t bytes;
};
inline Weight weight_of(std::uint64_t size, std::uint64_t period) {
  const std::uint64_t counted = size == 0 ? 1 : size;  // an empty block is sampled like one of a byte
  const std::uint64_t probability = hit_probability(counted, period);
  const Wide half = probability / 2;
  return {.count = divide((static_cast<Wide>(256) << 62) + half, probability),
          .bytes = divide((static_cast<Wide>(size) << 62) + half, probability)};
}

}  // namespace memsnap::agent
