#include "inject/control/written_pages.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace memsnap {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kBatch = 256;         // pages that are read at once
constexpr std::size_t kEntries = 1u << 16;  // of pagemap, looked at at once
constexpr std::uint64_t kPresent = 1ull << 63;
constexpr std::uint64_t kSwapped = 1ull << 62;
constexpr std::uint64_t kOfFile = 1ull << 61;
constexpr std::uint64_t kGuard = 1ull << 58;  // MADV_GUARD_INSTALL: nothing is there

// PAGEMAP_SCAN of Linux 6.7, as in linux/fs.h: passes over what was never touched, however large it is.
struct ScanArguments {
  std::uint64_t size, flags, start, end, walk_end, regions, region_count, max_pages, category_inverted, category_mask,
      category_any_mask, return_mask;
};
struct ScanRegion {
  std::uint64_t start, end, categories;
};
constexpr std::uint64_t kIsFile = 1u << 2;
constexpr std::uint64_t kIsPresent = 1u << 3;
constexpr std::uint64_t kIsSwapped = 1u << 4;
constexpr std::uint64_t kIsZero = 1u << 5;
constexpr unsigned long kScan = _IOWR('f', 16, ScanArguments);

}  // namespace

WrittenPages::WrittenPages(pid_t pid)
    : pagemap_(pid == 0 ? -1 : ::open(fmt::format("/proc/{}/pagemap", pid).c_str(), O_RDONLY | O_CLOEXEC)),
      bytes_(kBatch * kPage) {}

void WrittenPages::each(const Mapping& mapping, const ProcessMemory& memory, bool shared, const Visit& visit) {
  for (std::uint64_t at = mapping.begin; at < mapping.end;) {
    runs_.clear();
    std::uint64_t next = mapping.end;
    can_scan_ = can_scan_ && scan(at, mapping.end, shared, &next);
    if (!can_scan_) look(at, mapping.end, shared, &next);
    for (const auto& [begin, end] : runs_) {
      for (std::uint64_t part = begin; part < end; part += kBatch * kPage)
        read(part, std::min(end, part + kBatch * kPage), memory, visit);
    }
    at = std::max(next, at + kPage);
  }
}

// False: the kernel has no such call.
bool WrittenPages::scan(std::uint64_t from, std::uint64_t end, bool shared, std::uint64_t* next) {
  std::array<ScanRegion, 512> regions{};
  ScanArguments arguments{};
  arguments.size = sizeof(arguments);
  arguments.start = from;
  arguments.end = end;
  arguments.regions = reinterpret_cast<std::uint64_t>(regions.data());
  arguments.region_count = regions.size();
  arguments.category_inverted = arguments.category_mask = shared ? kIsZero : kIsZero | kIsFile;
  arguments.category_any_mask = kIsPresent | kIsSwapped;
  arguments.return_mask = kIsPresent;
  const int found = pagemap_ ? ::ioctl(pagemap_.get(), kScan, &arguments) : -1;
  if (found < 0) return false;
  for (const ScanRegion& region : std::span(regions).first(static_cast<std::size_t>(found)))
    runs_.emplace_back(region.start, region.end);
  *next = arguments.walk_end;
  return true;
}

// The same by the entries of pagemap; without one every page counts.
void WrittenPages::look(std::uint64_t from, std::uint64_t end, bool shared, std::uint64_t* next) {
  const std::size_t pages = std::min<std::uint64_t>(kEntries, (end - from) / kPage);
  const std::size_t size = pages * sizeof(std::uint64_t);
  entries_.resize(pages);
  if (!pagemap_ || ::pread(pagemap_.get(), entries_.data(), size,
                           static_cast<off_t>(from / kPage * sizeof(std::uint64_t))) != static_cast<ssize_t>(size)) {
    std::fill(entries_.begin(), entries_.end(), kPresent);
  }
  for (std::size_t page = 0; page < pages; ++page) {
    const std::uint64_t entry = entries_[page];
    if ((entry & kGuard) != 0 || (entry & (kPresent | kSwapped)) == 0 || (!shared && (entry & kOfFile) != 0)) continue;
    const std::uint64_t at = from + page * kPage;
    if (!runs_.empty() && runs_.back().second == at) {
      runs_.back().second = at + kPage;
    } else {
      runs_.emplace_back(at, at + kPage);
    }
  }
  *next = from + pages * kPage;
}

void WrittenPages::read(std::uint64_t begin, std::uint64_t end, const ProcessMemory& memory, const Visit& visit) {
  const auto whole = std::span(bytes_).first(end - begin);
  if (memory.copy(begin, whole)) {
    visit(begin, whole);
    return;
  }
  for (; begin < end; begin += kPage) {
    const auto page = std::span(bytes_).first(kPage);
    if (memory.copy(begin, page)) {
      visit(begin, page);
    } else {
      ++unreadable_;
    }
  }
}

}  // namespace memsnap
