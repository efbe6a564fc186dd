#pragma once

#include <cstdint>
#include <span>

namespace memsnap {

// CRC-32C (Castagnoli) of `bytes`, going on from `crc`: crc32c(b, crc32c(a)) is that of a followed by b.
std::uint32_t crc32c(std::span<const std::uint8_t> bytes, std::uint32_t crc = 0);

}  // namespace memsnap
