#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

#include "attach/process_memory.h"

namespace memsnap {

// One stretch of a target's memory that exists only in the test; everything beside it cannot be read.
class FakeArena : public ProcessMemory {
 public:
  static constexpr std::uint64_t kBegin = 0x100000;

  bool copy(std::uint64_t address, std::span<std::byte> out) const override {
    if (address < kBegin || address - kBegin > bytes_.size() || out.size() > bytes_.size() - (address - kBegin)) {
      return false;
    }
    std::memcpy(out.data(), bytes_.data() + (address - kBegin), out.size());
    return true;
  }

  std::uint64_t allocate(std::size_t size) {
    const std::uint64_t at = kBegin + used_;
    used_ += (size + 31) / 16 * 16;
    bytes_.resize((used_ + kPage - 1) / kPage * kPage);
    return at;
  }
  template <typename T>
  void put(std::uint64_t address, T value) {
    std::memcpy(bytes_.data() + (address - kBegin), &value, sizeof(T));
  }
  std::uint64_t make_c_string(std::string_view value) {
    const auto at = allocate(value.size() + 1);
    put_bytes(at, value);
    return at;
  }
  void put_bytes(std::uint64_t address, std::string_view value) {
    std::memcpy(bytes_.data() + (address - kBegin), value.data(), value.size());
  }
  std::size_t size() const { return used_; }

 private:
  static constexpr std::size_t kPage = 4096;
  std::size_t used_ = 0;
  std::vector<std::byte> bytes_;
};

}  // namespace memsnap
