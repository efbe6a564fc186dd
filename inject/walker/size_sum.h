#pragma once

#include <cstdint>

namespace memsnap::walker {

// No object is larger: what gives more was not an object, or was caught in mid-change.
inline constexpr std::uint64_t kMaxObjectSize = 1ull << 46;

// A sum of sizes of which every part may be forged: it never wraps round, and says when it is beyond reason.
class SizeSum {
 public:
  constexpr explicit SizeSum(std::uint64_t start) : total_(start) { check(); }

  constexpr void add(std::uint64_t bytes) {
    if (bytes > kMaxObjectSize) bytes = kMaxObjectSize + 1;
    if (total_ <= kMaxObjectSize) total_ += bytes;
    check();
  }
  constexpr void add(std::uint64_t count, std::uint64_t bytes) {
    if (bytes == 0 || count == 0) return;
    add(count > kMaxObjectSize / bytes ? kMaxObjectSize + 1 : count * bytes);
  }
  // A Py_ssize_t of the target. Below zero it counts nothing.
  constexpr void add_signed(std::int64_t count, std::uint64_t bytes) {
    if (count > 0) add(static_cast<std::uint64_t>(count), bytes);
  }

  constexpr void round_up(std::uint64_t multiple) { total_ = (total_ + multiple - 1) / multiple * multiple; }

  constexpr bool store(std::uint64_t* size) const {
    if (total_ > kMaxObjectSize) return false;
    *size = total_;
    return true;
  }

 private:
  constexpr void check() {
    if (total_ > kMaxObjectSize) total_ = kMaxObjectSize + 1;
  }
  std::uint64_t total_;
};

}  // namespace memsnap::walker
