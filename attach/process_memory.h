#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include "attach/remote_ptr.h"

namespace memsnap {

template <typename T>
concept Readable = std::is_trivially_copyable_v<T>;

// Read-only view of a target's memory: a live process, a frozen child, a core file, a local copy, or a fake in tests.
// Everything read through it is hostile: pointers dangle, sizes lie, strings do not end.
class ProcessMemory {
 public:
  virtual ~ProcessMemory() = default;

  // All of `out` or nothing: false when any byte is not readable.
  virtual bool copy(std::uint64_t address, std::span<std::byte> out) const = 0;

  // Throws Error (kInternal) with the address and the length when the bytes are not all readable.
  template <Readable T>
  T read(std::uint64_t address) const {
    if (const auto value = try_read<T>(address)) return *value;
    throw_unreadable(address, sizeof(T));
  }
  template <Readable T>
  T read(RemotePtr<T> from) const {
    return read<T>(from.address());
  }

  // For pointers that may dangle: a heap caught in mid-change always has some.
  template <Readable T>
  std::optional<T> try_read(std::uint64_t address) const {
    std::array<std::byte, sizeof(T)> bytes;
    if (!copy(address, bytes)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
  }
  template <Readable T>
  std::optional<T> try_read(RemotePtr<T> from) const {
    return try_read<T>(from.address());
  }

  // A NUL-terminated string of at most `limit` bytes; empty optional when unreadable or longer than that.
  std::optional<std::string> try_read_c_string(std::uint64_t address, std::size_t limit) const;

 protected:
  [[noreturn]] static void throw_unreadable(std::uint64_t address, std::size_t size);
};

}  // namespace memsnap
