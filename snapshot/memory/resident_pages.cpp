#include "snapshot/memory/resident_pages.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <numeric>
#include <sstream>
#include <string>
#include <utility>

#include "attach/base/file_descriptor.h"
#include "attach/preflight.h"
#include "snapshot/memory/page_scan.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kSteady = 1000;  // a process whose RSS changes by less than this part of it stands still

// Pages that the kernel maps without counting them as the process's.
bool counts(const Mapping& mapping) {
  return mapping.name != "[vvar]" && mapping.name != "[vvar_vclock]" && mapping.name != "[vsyscall]" &&
         !mapping.name.starts_with("/anon_hugepage");
}

void append(std::vector<Run>& runs, std::uint64_t begin, std::uint64_t end) {
  if (!runs.empty() && runs.back().end == begin) {
    runs.back().end = end;
  } else if (begin < end) {
    runs.push_back({begin, end});
  }
}

// Before Linux 6.7: pagemap shows the zero page and device memory too, which RSS leaves out, and no huge pages.
class EntryReader {
 public:
  EntryReader(pid_t pid, int pagemap) : pagemap_(pagemap) {
    std::ifstream file(fmt::format("/proc/{}/smaps", pid));
    std::ostringstream text;
    text << file.rdbuf();
    use_ = parse_mapping_use(text.str());
  }

  void read(const Mapping& mapping, std::vector<Run>& runs, std::vector<Run>& huge) const {
    const auto use = std::find_if(use_.begin(), use_.end(), [&](const MappingUse& one) {
      return one.begin == mapping.begin && one.end == mapping.end;
    });
    std::vector<PageRun> found;
    std::uint64_t present = 0;
    read_page_entries(pagemap_, mapping, [&](const PageRun& run) {
      found.push_back(run);
      present += run.end - run.begin;
    });
    std::uint64_t excess = use == use_.end() ? 0 : present - std::min(present, use->rss);
    for (const bool doubtful : {true, false}) {
      for (PageRun& run : found) {
        if (run.doubtful != doubtful) continue;
        const std::uint64_t cut = std::min(excess, run.end - run.begin);
        run.end -= cut;
        excess -= cut;
      }
    }
    for (const PageRun& run : found) append(runs, run.begin, run.end);
    if (use != use_.end() && use->anon_huge != 0) huge.push_back({mapping.begin, mapping.end});
  }

 private:
  int pagemap_;
  std::vector<MappingUse> use_;
};

// Pages in memory, second field of proc_pid_statm(5): cheap, and right to within some dozens.
std::uint64_t resident_now(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/statm", pid));
  std::uint64_t size = 0;
  std::uint64_t resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

ResidentPages::ResidentPages(std::vector<Run> runs) : runs_(std::move(runs)) { number(); }

void ResidentPages::number() {
  before_.assign(1, 0);
  for (const Run& run : runs_) before_.push_back(before_.back() + (run.end - run.begin));
}

ResidentPages ResidentPages::of(pid_t pid, const Options& options) {
  ResidentPages pages;
  const MemoryMap map = MemoryMap::of(pid);
  const FileDescriptor pagemap(::open(fmt::format("/proc/{}/pagemap", pid).c_str(), O_RDONLY | O_CLOEXEC));
  if (!pagemap) throw permission_error(pid, errno);
  const std::uint64_t before = resident_now(pid);
  bool scanned = options.by_scan;
  for (const Mapping& mapping : map.mappings()) {
    if (!scanned || !counts(mapping)) continue;
    scanned = scan_pages(pagemap.get(), mapping, [&](const PageRun& run) {
      append(pages.runs_, run.begin, run.end);
      if (run.huge && !run.file) append(pages.huge_, run.begin, run.end);
    });
  }
  if (!scanned) {
    pages.runs_.clear();
    pages.huge_.clear();
    const EntryReader reader(pid, pagemap.get());
    for (const Mapping& mapping : map.mappings()) {
      if (counts(mapping)) reader.read(mapping, pages.runs_, pages.huge_);
    }
  }
  pages.number();
  pages.use_ = read_memory_use(pid);
  // A process that grew or shrank meanwhile had at the time of the scan what the scan found.
  const std::uint64_t after = resident_now(pid);
  if (std::max(before, after) - std::min(before, after) > pages.use_.rss / kSteady) pages.use_.rss = pages.total();
  pages.leave_out(options.leave_out);
  return pages;
}

void ResidentPages::leave_out(const std::vector<Run>& ranges) {
  const std::vector<Run> out = merged(ranges);
  std::uint64_t gone = 0;
  for (const Run& range : out) gone += bytes(range.begin, range.end);
  if (gone == 0) return;
  runs_ = subtract(runs_, out);
  huge_ = subtract(huge_, out);
  number();
  for (std::uint64_t* const total : {&use_.rss, &use_.pss, &use_.uss}) *total -= std::min(*total, gone);
}

std::uint64_t ResidentPages::bytes(std::uint64_t begin, std::uint64_t end) const {
  const auto resident_below = [this](std::uint64_t address) {
    const auto after = std::upper_bound(runs_.begin(), runs_.end(), address,
                                        [](std::uint64_t at, const Run& run) { return at < run.begin; });
    const auto index = static_cast<std::size_t>(after - runs_.begin());
    if (index == 0) return std::uint64_t{0};
    const Run& run = runs_[index - 1];
    return before_[index - 1] + std::min(address, run.end) - run.begin;
  };
  return begin < end ? resident_below(end) - resident_below(begin) : 0;
}

std::uint64_t ResidentPages::next(std::uint64_t address) const {
  const auto after = std::upper_bound(runs_.begin(), runs_.end(), address,
                                      [](std::uint64_t at, const Run& run) { return at < run.end; });
  return after == runs_.end() ? ~0ull : std::max(address, after->begin);
}

std::uint64_t ResidentPages::Cursor::bytes(std::uint64_t begin, std::uint64_t end) {
  std::uint64_t sum = 0;
  while (at_ < runs_.size() && runs_[at_].end <= begin) ++at_;
  for (std::size_t i = at_; i < runs_.size() && runs_[i].begin < end; ++i) {
    sum += std::min(end, runs_[i].end) - std::max(begin, runs_[i].begin);
    if (runs_[i].end > end) break;
    at_ = i;
  }
  return sum;
}

}  // namespace memsnap
