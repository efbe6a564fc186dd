#include "snapshot/memory/page_scan.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace memsnap {
namespace {

constexpr std::uint64_t kPage = 4096;

// linux/fs.h of 6.7; the headers that this is built with may be older.
struct PageScanArguments {
  std::uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  std::uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
struct PageRegion {
  std::uint64_t start, end, categories;
};
constexpr std::uint64_t kIsFile = 1u << 2;
constexpr std::uint64_t kIsPresent = 1u << 3;
constexpr std::uint64_t kIsZero = 1u << 5;
constexpr std::uint64_t kIsHuge = 1u << 6;
constexpr unsigned long kPageScan = _IOWR('f', 16, PageScanArguments);

constexpr std::uint64_t kEntryPresent = 1ull << 63;
constexpr std::uint64_t kEntryFile = 1ull << 61;
constexpr std::uint64_t kEntryExclusive = 1ull << 56;

std::uint64_t hex(std::string_view text, std::size_t* used) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  *used = error == std::errc() ? static_cast<std::size_t>(end - text.data()) : 0;
  return value;
}

bool read_kilobytes(std::string_view line, std::string_view key, std::uint64_t* bytes) {
  if (!line.starts_with(key)) return false;
  line.remove_prefix(key.size());
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  std::uint64_t number = 0;
  std::from_chars(line.data(), line.data() + line.size(), number);
  *bytes = number * 1024;
  return true;
}

}  // namespace

bool scan_pages(int pagemap, const Mapping& mapping, const PageVisitor& visit) {
  std::array<PageRegion, 1024> regions{};
  std::uint64_t at = mapping.begin;
  while (at < mapping.end) {
    PageScanArguments arguments{};
    arguments.size = sizeof(arguments);
    arguments.start = at;
    arguments.end = mapping.end;
    arguments.vec = reinterpret_cast<std::uint64_t>(regions.data());
    arguments.vec_len = regions.size();
    arguments.category_inverted = kIsZero;
    arguments.category_mask = kIsPresent | kIsZero;
    arguments.return_mask = kIsFile | kIsHuge;
    const int found = ::ioctl(pagemap, kPageScan, &arguments);
    if (found < 0) return at != mapping.begin;
    for (int i = 0; i < found; ++i) {
      const PageRegion& region = regions.at(static_cast<std::size_t>(i));
      visit({region.start, region.end, (region.categories & kIsFile) != 0, (region.categories & kIsHuge) != 0, false});
    }
    if (arguments.walk_end <= at) break;
    at = arguments.walk_end;
  }
  return true;
}

bool read_page_entries(int pagemap, const Mapping& mapping, const PageVisitor& visit) {
  std::array<std::uint64_t, 8192> entries{};
  PageRun run;
  for (std::uint64_t at = mapping.begin; at < mapping.end;) {
    const std::uint64_t pages = std::min<std::uint64_t>((mapping.end - at) / kPage, entries.size());
    const ssize_t got = ::pread(pagemap, entries.data(), pages * 8, static_cast<off_t>(at / kPage * 8));
    if (got < 8) return false;
    for (std::uint64_t i = 0; i < static_cast<std::uint64_t>(got) / 8; ++i, at += kPage) {
      if ((entries[i] & kEntryPresent) == 0) continue;
      const bool file = (entries[i] & kEntryFile) != 0;
      const bool doubtful = !file && (entries[i] & kEntryExclusive) == 0;
      if (run.end != at || run.file != file || run.doubtful != doubtful) {
        if (run.end != 0) visit(run);
        run = {at, at, file, false, doubtful};
      }
      run.end = at + kPage;
    }
  }
  if (run.end != 0) visit(run);
  return true;
}

std::vector<MappingUse> parse_mapping_use(std::string_view smaps) {
  std::vector<MappingUse> all;
  while (!smaps.empty()) {
    const std::size_t end = std::min(smaps.find('\n'), smaps.size());
    const std::string_view line = smaps.substr(0, end);
    smaps.remove_prefix(std::min(end + 1, smaps.size()));
    std::size_t used = 0;
    const std::uint64_t begin = hex(line, &used);
    if (used != 0 && used < line.size() && line[used] == '-') {
      all.push_back({.begin = begin, .end = hex(line.substr(used + 1), &used)});
    } else if (!all.empty() && !read_kilobytes(line, "Rss:", &all.back().rss)) {
      read_kilobytes(line, "AnonHugePages:", &all.back().anon_huge);
    }
  }
  return all;
}

}  // namespace memsnap
