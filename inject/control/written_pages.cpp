#include "inject/control/written_pages.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>

namespace memsnap {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kBatch = 256;  // pages: a run that is read at once
constexpr std::uint64_t kPresent = 1ull << 63;
constexpr std::uint64_t kSwapped = 1ull << 62;
constexpr std::uint64_t kOfFile = 1ull << 61;
constexpr std::uint64_t kGuard = 1ull << 58;  // MADV_GUARD_INSTALL: nothing is there

}  // namespace

WrittenPages::WrittenPages(pid_t pid)
    : pagemap_(pid == 0 ? -1 : ::open(fmt::format("/proc/{}/pagemap", pid).c_str(), O_RDONLY | O_CLOEXEC)),
      bytes_(kBatch * kPage) {}

void WrittenPages::each(const Mapping& mapping, const ProcessMemory& memory, bool shared, const Visit& visit) {
  std::array<std::uint64_t, kBatch> flags{};
  for (std::uint64_t at = mapping.begin; at < mapping.end; at += kBatch * kPage) {
    const std::size_t pages = std::min<std::uint64_t>(kBatch, (mapping.end - at) / kPage);
    const auto wanted = static_cast<ssize_t>(pages * sizeof(std::uint64_t));
    if (!pagemap_ || ::pread(pagemap_.get(), flags.data(), static_cast<std::size_t>(wanted),
                             static_cast<off_t>(at / kPage * sizeof(std::uint64_t))) != wanted) {
      flags.fill(kPresent);
    }
    for (std::size_t first = 0; first < pages;) {
      const auto counts = [&](std::size_t page) {
        if ((flags.at(page) & kGuard) != 0 || (flags.at(page) & (kPresent | kSwapped)) == 0) return false;
        return shared || (flags.at(page) & kOfFile) == 0;
      };
      std::size_t last = first;
      while (last < pages && counts(last)) ++last;
      if (last > first) read(at + first * kPage, at + last * kPage, memory, visit);
      first = last + 1;
    }
  }
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
