#include "snapshot/capture/shared_memory.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <vector>

namespace memsnap {
namespace {

off_t as_offset(std::uint64_t value) { return static_cast<off_t>(value); }

}  // namespace

SharedMemory::SharedMemory(FileDescriptor file) : file_(std::move(file)) {
  struct stat status {};
  if (file_ && ::fstat(file_.get(), &status) == 0 && status.st_size > 0)
    size_ = static_cast<std::uint64_t>(status.st_size);
}

std::uint64_t SharedMemory::written() const {
  constexpr std::uint64_t kBlock = 512;  // of st_blocks
  struct stat status {};
  return ::fstat(file_.get(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * kBlock : 0;
}

bool SharedMemory::read(std::uint64_t offset, std::span<std::byte> out) const {
  if (offset > size_ || out.size() > size_ - offset) return false;
  while (!out.empty()) {
    const ssize_t got = ::pread(file_.get(), out.data(), out.size(), as_offset(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    out = out.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
  return true;
}

void SharedMemory::for_each_data(std::uint64_t begin, std::uint64_t end, const Visitor& visit) const {
  end = std::min(end, size_);
  std::vector<std::byte> piece(kPiece);
  for (std::uint64_t at = begin; at < end;) {
    const off_t data = ::lseek(file_.get(), as_offset(at), SEEK_DATA);
    if (data < 0 || static_cast<std::uint64_t>(data) >= end) return;
    const off_t hole = ::lseek(file_.get(), data, SEEK_HOLE);
    const std::uint64_t stop = hole < 0 ? end : std::min(static_cast<std::uint64_t>(hole), end);
    // A hole that was filled meanwhile may make them equal; the next search goes on from there.
    at = std::max(static_cast<std::uint64_t>(data), at);
    for (; at < stop; at += piece.size()) {
      const auto length = static_cast<std::size_t>(std::min<std::uint64_t>(kPiece, stop - at));
      piece.resize(length);
      if (!read(at, piece)) return;
      visit(at, piece);
    }
    piece.resize(kPiece);
    if (at <= static_cast<std::uint64_t>(data)) return;
  }
}

}  // namespace memsnap
