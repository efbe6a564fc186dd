#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <vector>

#include "snapshot/store/container.h"

// Bytes of the container's header and directory: docs/file_format.md.
namespace memsnap {

inline constexpr std::size_t kHeaderBytes = 64;
inline constexpr std::size_t kEntryBytes = 48;
inline constexpr std::uint32_t kMaxParts = 1024;
inline constexpr std::array<std::uint8_t, 8> kMagic{0x89, 'M', 'S', 'N', 'A', 'P', '\r', '\n'};

struct LittleEndian {
  std::vector<std::uint8_t> bytes;
  void put32(std::uint32_t value) {
    for (unsigned i = 0; i < 4; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  }
  void put64(std::uint64_t value) {
    put32(static_cast<std::uint32_t>(value));
    put32(static_cast<std::uint32_t>(value >> 32));
  }
};

// x86-64 is little-endian as the file is.
template <typename T>
T load(const std::uint8_t* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

void put_part(LittleEndian& out, const PartEntry& part);
PartEntry get_part(const std::uint8_t* at);
std::vector<std::uint8_t> make_header(std::uint64_t directory, std::uint32_t parts, std::uint32_t directory_crc,
                                      std::uint64_t file_size);

}  // namespace memsnap
