#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

namespace memsnap {

// Reads forward; beyond the end all is zero, and failed() says so.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, std::uint64_t address) : bytes_(bytes), address_(address) {}

  bool failed() const { return failed_; }
  bool at_end() const { return failed_ || at_ >= bytes_.size(); }
  std::uint64_t address() const { return address_ + at_; }

  template <typename T>
  T get() {
    T value{};
    if (failed_ || bytes_.size() - at_ < sizeof(T)) {
      failed_ = true;
      return value;
    }
    std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  // LEB128.
  std::uint64_t unsigned_number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const auto byte = get<std::uint8_t>();
      if (shift < 64) value |= std::uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) return value;
      if (shift > 70) failed_ = true;
    }
  }
  std::int64_t signed_number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const auto byte = get<std::uint8_t>();
      if (shift < 64) value |= std::uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) == 0) {
        if ((byte & 0x40) != 0 && shift + 7 < 64) value |= ~std::uint64_t{0} << (shift + 7);
        return static_cast<std::int64_t>(value);
      }
      if (shift > 70) failed_ = true;
    }
  }
  std::string_view text() {
    const auto* const begin = reinterpret_cast<const char*>(bytes_.data()) + at_;
    const std::size_t length = failed_ ? 0 : ::strnlen(begin, bytes_.size() - at_);
    if (failed_ || length == bytes_.size() - at_) {
      failed_ = true;
      return {};
    }
    at_ += length + 1;
    return {begin, length};
  }
  // The next `size` bytes, as a cursor of their own; this one goes on behind them.
  Cursor part(std::uint64_t size) {
    if (failed_ || size > bytes_.size() - at_) {
      failed_ = true;
      return {{}, 0};
    }
    Cursor piece(bytes_.subspan(at_, size), address());
    at_ += size;
    return piece;
  }

 private:
  std::span<const std::byte> bytes_;
  std::uint64_t address_;
  std::size_t at_ = 0;
  bool failed_ = false;
};

}  // namespace memsnap
