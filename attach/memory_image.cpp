#include "attach/memory_image.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>

namespace memsnap {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kPiece = 1u << 20;
constexpr std::size_t kWindow = 32u << 20;           // whose pages are looked up at once
constexpr std::uint64_t kMaxPrepared = 64ull << 30;  // above it is a reserve, hardly used
constexpr std::uint64_t kInUse = 3ull << 62;         // present or swapped (pagemap documentation)
constexpr std::uint64_t kExclusive = 1ull << 56;

}  // namespace

MemoryImage::MemoryImage(pid_t pid, const MemoryMap& map)
    : pinned_(pid),
      live_(pid, map),
      page_map_(::open(fmt::format("/proc/{}/pagemap", pid).c_str(), O_RDONLY | O_CLOEXEC)) {}

MemoryImage::~MemoryImage() {
  for (const Part& part : parts_) ::munmap(part.bytes, part.size());
}

// Pages of anonymous memory that were never touched are zero, here too, without a copy: most of a reserved arena or
// stack. Of a file's mapping every page counts.
std::vector<MemoryImage::Run> MemoryImage::used_pages(const Mapping& mapping, Run window) const {
  if (!page_map_ || mapping.inode != 0) return {window};
  std::vector<Run> runs;
  std::vector<std::uint64_t> entries(kWindow / kPage);
  for (std::uint64_t at = window.begin; at < window.end;) {
    const std::size_t wanted = std::min<std::size_t>(entries.size(), (window.end - at) / kPage);
    const std::size_t size = wanted * sizeof(entries[0]);
    const auto offset = static_cast<off_t>(at / kPage * sizeof(entries[0]));
    if (::pread(page_map_.get(), entries.data(), size, offset) != static_cast<ssize_t>(size)) {
      runs.push_back({at, window.end, false});
      break;
    }
    for (std::size_t i = 0; i < wanted; ++i, at += kPage) {
      if ((entries[i] & kInUse) == 0) continue;
      const bool exclusive = (entries[i] & kExclusive) != 0;
      if (!runs.empty() && runs.back().end == at && runs.back().exclusive == exclusive) {
        runs.back().end = at + kPage;
      } else {
        runs.push_back({at, at + kPage, exclusive});
      }
    }
  }
  return runs;
}

MemoryImage::Part* MemoryImage::place_for(const Mapping& mapping) {
  const auto found = std::find_if(parts_.begin(), parts_.end(), [&](const Part& part) {
    return part.begin < mapping.end && mapping.begin < part.end;
  });
  if (found != parts_.end() && found->begin == mapping.begin && found->end == mapping.end) return &*found;
  if (found != parts_.end()) {  // it has grown, or is another one by now
    ::munmap(found->bytes, found->size());
    parts_.erase(found);
    return place_for(mapping);
  }
  void* const place =
      ::mmap(nullptr, mapping.size(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (place == MAP_FAILED) return nullptr;
  parts_.push_back({mapping.begin, mapping.end, mapping.begin, static_cast<std::byte*>(place)});
  return &parts_.back();
}

void MemoryImage::prepare(const Mapping& mapping) {
  const Part* const part = mapping.size() <= kMaxPrepared ? place_for(mapping) : nullptr;
  if (part == nullptr) return;
  for (const Run& run : used_pages(mapping, {mapping.begin, mapping.end, false})) {
    for (std::uint64_t at = run.begin; at < run.end; at += kPage) part->bytes[at - part->begin] = std::byte{0};
  }
}

void MemoryImage::copy_run(const Part& part, Run run) const {
  const auto place = [&](Run piece) {
    return std::span(part.bytes + (piece.begin - part.begin), piece.end - piece.begin);
  };
  if (run.exclusive ? pinned_.copy(run.begin, place(run)) : live_.copy(run.begin, place(run))) return;
  // A page that cannot be read stays zero: a file that was cut short.
  for (std::uint64_t at = run.begin; at < run.end; at += kPage) live_.copy(at, place({at, at + kPage, false}));
}

bool MemoryImage::take(const Mapping& mapping, std::chrono::steady_clock::time_point deadline) {
  const auto in_time = [&] { return std::chrono::steady_clock::now() < deadline; };
  Part* const part = in_time() ? place_for(mapping) : nullptr;
  if (part == nullptr) return false;
  for (std::uint64_t window = mapping.begin; window < mapping.end; window += kWindow) {
    const std::uint64_t window_end = std::min<std::uint64_t>(mapping.end, window + kWindow);
    for (const Run& run : used_pages(mapping, {window, window_end, false})) {
      for (std::uint64_t at = run.begin; at < run.end; at += kPiece) {
        if (!in_time()) return false;
        part->copied = std::min<std::uint64_t>(run.end, at + kPiece);
        copy_run(*part, {at, part->copied, run.exclusive});
      }
    }
    part->copied = window_end;
    if (!in_time()) return window_end == mapping.end;
  }
  part->copied = part->end;
  return true;
}

void MemoryImage::finish() {
  std::sort(parts_.begin(), parts_.end(), [](const Part& a, const Part& b) { return a.begin < b.begin; });
  page_map_.reset();
}

bool MemoryImage::copy(std::uint64_t address, std::span<std::byte> out) const {
  const auto after = std::upper_bound(parts_.begin(), parts_.end(), address,
                                      [](std::uint64_t at, const Part& part) { return at < part.begin; });
  if (after == parts_.begin() || address >= std::prev(after)->end) {
    const std::uint64_t free_end = after == parts_.end() ? ~0ull : after->begin;
    const std::size_t size = std::min<std::uint64_t>(out.size(), free_end - address);
    if (!live_.copy(address, out.first(size))) return false;
    return size == out.size() || copy(address + size, out.subspan(size));
  }
  const Part& part = *std::prev(after);
  const std::size_t size = std::min<std::uint64_t>(out.size(), part.end - address);
  if (address + size > part.copied) return false;
  std::memcpy(out.data(), part.bytes + (address - part.begin), size);
  return size == out.size() || copy(address + size, out.subspan(size));
}

}  // namespace memsnap
