#include "snapshot/walk/orphan_ranges.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "attach/base/file_descriptor.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kPage = 4096;
// proc_pid_pagemap(5): present, or swapped out.
constexpr std::uint64_t kInMemory = 3ull << 62;

bool is_heap(const Mapping& mapping) {
  if (!mapping.readable || !mapping.writable || mapping.shared || mapping.inode != 0) return false;
  return mapping.name.empty() || mapping.name == "[heap]" || mapping.name.starts_with("[anon:");
}

void add(std::vector<AddressRange>& ranges, std::uint64_t begin, std::uint64_t end) {
  if (!ranges.empty() && ranges.back().end == begin) {
    ranges.back().end = end;
  } else {
    ranges.push_back({begin, end});
  }
}

}  // namespace

std::vector<AddressRange> heap_ranges(const MemoryMap& map) {
  std::vector<AddressRange> ranges;
  for (const Mapping& mapping : map.mappings()) {
    if (is_heap(mapping)) add(ranges, mapping.begin, mapping.end);
  }
  return ranges;
}

std::vector<AddressRange> orphan_ranges(pid_t pid, const MemoryMap& map) {
  std::vector<AddressRange> ranges;
  const FileDescriptor pagemap(::open(fmt::format("/proc/{}/pagemap", pid).c_str(), O_RDONLY | O_CLOEXEC));
  if (!pagemap) return ranges;
  std::array<std::uint64_t, 8192> entries{};
  for (const Mapping& mapping : map.mappings()) {
    if (!is_heap(mapping)) continue;
    for (std::uint64_t at = mapping.begin; at < mapping.end;) {
      const std::uint64_t pages = std::min<std::uint64_t>((mapping.end - at) / kPage, entries.size());
      const ssize_t got = ::pread(pagemap.get(), entries.data(), pages * 8, static_cast<off_t>(at / kPage * 8));
      if (got < 8) break;
      for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(got) / 8; ++i, at += kPage) {
        if ((entries[i] & kInMemory) != 0) add(ranges, at, at + kPage);
      }
    }
  }
  return ranges;
}

}  // namespace memsnap
