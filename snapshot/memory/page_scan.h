#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "attach/memory_map.h"

namespace memsnap {

// Resident pages of a mapping, in ascending order of address: all flags hold for the whole of [begin, end).
struct PageRun {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool file = false;      // of a file or of shared memory
  bool huge = false;      // mapped as a huge page; known from Linux 6.7 on
  bool doubtful = false;  // anonymous and mapped elsewhere too: may be the zero page, which is no one's
};
using PageVisitor = std::function<void(const PageRun&)>;

// By the ioctl of Linux 6.7 that looks at what is there only. False when the kernel does not have it; the zero page is
// left out.
bool scan_pages(int pagemap, const Mapping& mapping, const PageVisitor& visit);
// By an entry for each page, proc_pid_pagemap(5).
bool read_page_entries(int pagemap, const Mapping& mapping, const PageVisitor& visit);

// A mapping as smaps describes it.
struct MappingUse {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t rss = 0;
  std::uint64_t anon_huge = 0;
};
std::vector<MappingUse> parse_mapping_use(std::string_view smaps);

}  // namespace memsnap
