#include "attach/process_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "attach/base/error.h"

namespace memsnap {

std::optional<std::string> ProcessMemory::try_read_c_string(std::uint64_t address, std::size_t limit) const {
  constexpr std::size_t kPiece = 64;
  std::string text;
  std::array<std::byte, kPiece> bytes;
  while (text.size() < limit) {
    // Pieces end at a 64-byte boundary, so that a string at the end of a mapping is read.
    const std::uint64_t at = address + text.size();
    if (at < address) return std::nullopt;
    const std::size_t size = std::min<std::size_t>(kPiece - (at & (kPiece - 1)), limit - text.size());
    if (!copy(at, std::span(bytes).first(size))) return std::nullopt;
    const char* const begin = reinterpret_cast<const char*>(bytes.data());
    const char* const end = std::find(begin, begin + size, '\0');
    text.append(begin, end);
    if (end != begin + size) return text;
  }
  return std::nullopt;
}

void ProcessMemory::throw_unreadable(std::uint64_t address, std::size_t size) {
  throw Error(ExitCode::kInternal, fmt::format("cannot read {} bytes at {:#x} of the target", size, address), "");
}

}  // namespace memsnap
