#include "attach/core_memory.h"

#include <unistd.h>

#include <algorithm>

namespace memsnap {

std::vector<CoreMemory::Range>::const_iterator CoreMemory::first_ending_after(std::uint64_t address) const {
  return std::partition_point(ranges_.begin(), ranges_.end(), [&](const Range& range) { return range.end <= address; });
}

std::vector<CoreMemory::Range> CoreMemory::free_parts(std::uint64_t begin, std::uint64_t end) const {
  std::vector<Range> parts;
  std::uint64_t at = begin;
  for (auto range = first_ending_after(begin); range != ranges_.end() && range->begin < end; ++range) {
    if (at < range->begin) parts.push_back({at, range->begin, 0, -1});
    at = range->end;
  }
  if (at < end) parts.push_back({at, end, 0, -1});
  return parts;
}

void CoreMemory::add(std::uint64_t begin, std::uint64_t end, int file, std::uint64_t offset) {
  for (Range part : free_parts(begin, end)) {
    part.file = file;
    part.offset = offset + (part.begin - begin);
    ranges_.insert(first_ending_after(part.begin), part);
  }
}

std::uint64_t CoreMemory::missing(std::uint64_t begin, std::uint64_t end) const {
  std::uint64_t bytes = 0;
  for (const Range& part : free_parts(begin, end)) bytes += part.end - part.begin;
  return bytes;
}

bool CoreMemory::copy(std::uint64_t address, std::span<std::byte> out) const {
  auto range = first_ending_after(address);
  while (!out.empty()) {
    if (range == ranges_.end() || range->begin > address || range->file < 0) return false;
    const std::size_t size = std::min<std::uint64_t>(out.size(), range->end - address);
    const auto offset = static_cast<off_t>(range->offset + (address - range->begin));
    if (::pread(range->file, out.data(), size, offset) != static_cast<ssize_t>(size)) return false;
    out = out.subspan(size);
    address += size;
    ++range;
  }
  return true;
}

}  // namespace memsnap
