#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <type_traits>

#include "attach/base/file_descriptor.h"

namespace memsnap {

// The agent's shared memory, read by its descriptor: it stays readable when the target is gone, a file that became
// shorter is a failed read and no signal, and what was read cannot change any more while it is checked.
class SharedMemory {
 public:
  explicit SharedMemory(FileDescriptor file);

  std::uint64_t size() const { return size_; }
  std::uint64_t written() const;  // bytes of pages that were touched

  // False when it does not reach that far.
  bool read(std::uint64_t offset, std::span<std::byte> out) const;
  template <typename T>
  requires std::is_trivially_copyable_v<T>
  bool read(std::uint64_t offset, T& out) const { return read(offset, std::as_writable_bytes(std::span(&out, 1))); }

  // Calls `visit(offset, bytes)` for what has been written of [begin, end), in ascending order and in pieces of whole
  // pages of at most kPiece bytes. Pages that were never touched are left out, and stay untouched.
  static constexpr std::size_t kPiece = 256u << 10;
  using Visitor = std::function<void(std::uint64_t offset, std::span<const std::byte> bytes)>;
  void for_each_data(std::uint64_t begin, std::uint64_t end, const Visitor& visit) const;

 private:
  FileDescriptor file_;
  std::uint64_t size_ = 0;
};

}  // namespace memsnap
