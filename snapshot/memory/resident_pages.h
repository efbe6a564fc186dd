#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "attach/memory_map.h"
#include "snapshot/memory/ranges.h"

namespace memsnap {

// Which of a process's pages are in memory, as /proc/PID/pagemap says, with the totals of the same moment.
class ResidentPages {
 public:
  ResidentPages() = default;
  explicit ResidentPages(std::vector<Run> runs);  // ascending, not touching
  struct Options {
    bool by_scan = true;           // false: as on a Linux before 6.7
    std::vector<Run> leave_out{};  // memory that is not to be counted; the totals are less by it
  };
  // Throws Error kNoSuchProcess, kNoPermission.
  static ResidentPages of(pid_t pid, const Options& options);
  static ResidentPages of(pid_t pid) { return of(pid, Options()); }

  const MemoryUse& use() const { return use_; }
  // Anonymous memory in huge pages; before Linux 6.7 the mappings that have some.
  const std::vector<Run>& huge() const { return huge_; }
  const std::vector<Run>& runs() const { return runs_; }

  std::uint64_t bytes(std::uint64_t begin, std::uint64_t end) const;  // resident ones of a range
  std::uint64_t next(std::uint64_t address) const;                    // the first resident byte from there on; ~0: none
  std::uint64_t total() const { return before_.empty() ? 0 : before_.back(); }

  // The same for ranges in ascending order, which may not overlap: constant time for each.
  class Cursor {
   public:
    explicit Cursor(const ResidentPages& pages) : runs_(pages.runs_) {}
    std::uint64_t bytes(std::uint64_t begin, std::uint64_t end);

   private:
    const std::vector<Run>& runs_;
    std::size_t at_ = 0;
  };

 private:
  void number();
  void leave_out(const std::vector<Run>& ranges);

  std::vector<Run> runs_;
  std::vector<std::uint64_t> before_;  // bytes of all runs in front of each; one more: of all
  MemoryUse use_{};
  std::vector<Run> huge_;
};

}  // namespace memsnap
