#pragma once

#include <compare>
#include <cstdint>

namespace memsnap {

// The address of a `T` in the target. It cannot be dereferenced here by mistake; ProcessMemory reads it.
template <typename T>
class RemotePtr {
 public:
  constexpr RemotePtr() = default;
  constexpr explicit RemotePtr(std::uint64_t address) : address_(address) {}

  constexpr std::uint64_t address() const { return address_; }
  constexpr explicit operator bool() const { return address_ != 0; }
  template <typename U>
  constexpr RemotePtr<U> cast(std::int64_t byte_delta = 0) const {
    return RemotePtr<U>(address_ + static_cast<std::uint64_t>(byte_delta));
  }
  friend constexpr auto operator<=>(RemotePtr, RemotePtr) = default;

 private:
  std::uint64_t address_ = 0;
};

}  // namespace memsnap
