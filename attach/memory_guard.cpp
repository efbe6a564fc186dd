#include "attach/memory_guard.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <string_view>

#include "attach/base/error.h"
#include "attach/stopped_process.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kKiB = 1u << 10;
constexpr std::uint64_t kMiB = 1u << 20;
constexpr std::uint64_t kFixedCost = 32 * kMiB;  // the walker's buffers and stacks
constexpr std::uint64_t kLastHeadroom = 16 * kMiB;
constexpr std::uint64_t kNoLimit = 1ull << 62;  // v1 writes a huge number for "none"
constexpr double kPauseAtLeast = 1;             // ms
constexpr double kPausePerPageTableMiB = 15;    // ms; measured 9 to 23 with 4 KiB pages (tests/bench)
constexpr double kPausePerThread = 0.05;        // ms
constexpr std::uint64_t kTableReach = 512;      // a page table of 4 KiB maps 2 MiB
constexpr std::uint64_t kBitmapShare = 128;     // the walker marks what it has visited
constexpr std::uint64_t kCopiedShare = 16;      // one resident byte in so many is written while the child lives
constexpr double kPausePerCopiedMiB = 0.25;     // ms; measured 4 to 5 GB/s

std::optional<std::uint64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (!(file >> value)) return std::nullopt;  // "max" too
  return value;
}

std::uint64_t inactive_file(const std::string& path) {
  std::ifstream file(path);
  for (std::string key; file >> key;) {
    std::uint64_t value = 0;
    file >> value;
    if (key == "inactive_file" || key == "total_inactive_file") return value;
  }
  return 0;
}

std::uint64_t sum_of_kilobytes(const std::string& path, std::string_view key) {
  std::ifstream file(path);
  std::uint64_t total = 0;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) total += std::strtoull(line.c_str() + key.size(), nullptr, 10) * kKiB;
  }
  return total;
}

std::uint64_t available_memory() {
  const std::uint64_t available = sum_of_kilobytes("/proc/meminfo", "MemAvailable:");
  return available == 0 ? ~0ull : available;
}

struct LimitUse {
  std::uint64_t most;
  std::uint64_t held;  // what cannot be dropped
  std::uint64_t room() const { return most - std::min(most, held); }
};
std::optional<LimitUse> read_use(const MemoryLimit& limit) {
  const auto most = read_number(limit.limit_file);
  const auto used = read_number(limit.usage_file);
  if (!most || !used) return std::nullopt;
  return LimitUse{*most, *used - std::min(*used, inactive_file(limit.reclaimable_file))};
}

std::string parent(const std::string& path) {
  const std::size_t slash = path.find_last_of('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

// Every level from `path` up that has the limit file.
void collect(const std::string& root, std::string path, bool version_2, std::vector<MemoryLimit>& limits) {
  for (;;) {
    const std::string folder = root + (path == "/" ? "" : path);
    MemoryLimit limit;
    limit.limit_file = folder + (version_2 ? "/memory.max" : "/memory.limit_in_bytes");
    limit.usage_file = folder + (version_2 ? "/memory.current" : "/memory.usage_in_bytes");
    limit.reclaimable_file = folder + "/memory.stat";
    limit.kills_group = version_2 && read_number(folder + "/memory.oom.group").value_or(0) == 1;
    const auto value = read_number(limit.limit_file);
    if (value && *value < kNoLimit) limits.push_back(std::move(limit));
    if (path.empty() || path == "/") return;
    path = parent(path);
  }
}

}  // namespace

std::vector<MemoryLimit> memory_limits(pid_t pid) {
  std::vector<MemoryLimit> limits;
  std::ifstream file(fmt::format("/proc/{}/cgroup", pid));
  for (std::string line; std::getline(file, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (path.find("..") != std::string::npos) continue;  // outside our cgroup namespace: not visible
    if (controllers.empty()) collect("/sys/fs/cgroup", path, true, limits);
    if (controllers.empty()) collect("/sys/fs/cgroup/unified", path, true, limits);
    if (("," + controllers + ",").find(",memory,") != std::string::npos)
      collect("/sys/fs/cgroup/memory", path, false, limits);
  }
  return limits;
}

std::optional<std::uint64_t> memory_headroom(const std::vector<MemoryLimit>& limits) {
  std::optional<std::uint64_t> least;
  for (const MemoryLimit& limit : limits) {
    if (const auto use = read_use(limit)) least = std::min(least.value_or(use->room()), use->room());
  }
  return least;
}

std::optional<double> memory_used_part(const std::vector<MemoryLimit>& limits) {
  std::optional<double> largest;
  for (const MemoryLimit& limit : limits) {
    const auto use = read_use(limit);
    if (!use || use->most == 0) continue;
    const double part = static_cast<double>(use->held) / static_cast<double>(use->most);
    largest = std::max(largest.value_or(part), part);
  }
  return largest;
}

bool kills_group(const std::vector<MemoryLimit>& limits) {
  return std::any_of(limits.begin(), limits.end(), [](const MemoryLimit& limit) { return limit.kills_group; });
}

std::uint64_t last_headroom(const std::vector<MemoryLimit>& limits) {
  return kills_group(limits) ? 2 * kLastHeadroom : kLastHeadroom;
}

FreezeCost read_freeze_cost(pid_t pid) {
  FreezeCost cost;
  cost.resident = status_number(pid, "RssAnon", 10, status_number(pid, "VmRSS", 10, 0)) * kKiB;
  cost.page_tables = status_number(pid, "VmPTE", 10, 0) * kKiB;
  cost.threads = status_number(pid, "Threads", 10, 1);
  return cost;
}

std::uint64_t predicted_child_memory(const FreezeCost& cost, bool all_may_be_written) {
  const std::uint64_t copied = all_may_be_written ? cost.resident : cost.resident / kCopiedShare;
  return kFixedCost + cost.page_tables + cost.resident / kBitmapShare + copied;
}

bool all_may_be_written(Method method, const std::vector<MemoryLimit>& limits) {
  return method == Method::kAuto || kills_group(limits);
}

std::chrono::milliseconds predicted_pause(const FreezeCost& cost) {
  const std::uint64_t of_huge = cost.huge / kTableReach;
  const auto tables = static_cast<double>(cost.page_tables - std::min(cost.page_tables, of_huge));
  const double total = kPauseAtLeast + kPausePerPageTableMiB * tables / static_cast<double>(kMiB) +
                       kPausePerThread * static_cast<double>(cost.threads);
  return std::chrono::milliseconds(static_cast<std::int64_t>(total));
}

std::chrono::milliseconds predicted_copy_pause(const FreezeCost& cost) {
  const double total = kPauseAtLeast + kPausePerCopiedMiB * static_cast<double>(cost.resident) / kMiB +
                       kPausePerThread * static_cast<double>(cost.threads);
  return std::chrono::milliseconds(static_cast<std::int64_t>(total));
}

namespace {

// Why a copy of a process's memory does not fit here.
std::optional<std::string> no_room_for_copy(pid_t pid, const FreezeCost& cost) {
  const std::uint64_t need = cost.resident + kFixedCost;
  const auto below_limit = memory_headroom(memory_limits(::getpid()));
  const std::uint64_t room = std::min(below_limit.value_or(~0ull), available_memory());
  if (room >= need) return std::nullopt;
  return fmt::format("a copy of {}'s memory needs {} MiB here, {} MiB are free", pid, need / kMiB, room / kMiB);
}

// Where no frozen copy is made: whether the process can be stopped for a copy instead, and what the user can do.
[[noreturn]] void throw_no_room(pid_t pid, const FreezeCost& cost, const FreezeOptions& options, std::string what,
                                bool would_be_tried, bool* fallback) {
  std::string hint = would_be_tried
                         ? "--method freeze makes one and ends it when room runs short: a small risk (none of 300 was "
                           "too late for processes that wrote as fast as they can); or "
                         : "raise the limit, or ";
  const auto pause = predicted_copy_pause(cost).count();
  if (const auto no_copy = no_room_for_copy(pid, cost)) {
    what += fmt::format("; and {}", *no_copy);
    hint += "--method read, which copies nothing";
  } else if (options.method == Method::kAuto && pause <= options.max_pause.count()) {
    *fallback = true;
  } else {
    if (options.method == Method::kAuto) {
      what += fmt::format("; copying it while it is stopped would take about {} ms, more than --max-pause {} ms", pause,
                          options.max_pause.count());
    }
    hint += fmt::format("--method stop --max-pause {}ms, which needs none of the target's memory", pause * 2);
  }
  throw Error(ExitCode::kGaveUp, what, hint);
}

// What a copy's pages may cost is at most what is anonymous and resident when it is made: each page that the target
// writes or gives back is then the copy's alone. Pages of files are not copied for it, and what the target takes anew
// it would take without it too. So a copy for which all of that fits cannot take the target over its limit, however
// fast it writes; one for which a part fits can be outrun, and is made on request only.
void require_memory(pid_t pid, const FreezeCost& cost, const FreezeOptions& options, bool* fallback) {
  const auto limits = memory_limits(pid);
  const std::uint64_t need_on_request = predicted_child_memory(cost, kills_group(limits)) + last_headroom(limits);
  // Of the whole machine's memory the kernel takes the copy first.
  const std::uint64_t available = available_memory();
  if (available < need_on_request) {
    throw_no_room(pid, cost, options,
                  fmt::format("the machine has {} MiB free, a frozen copy of {} may need {} MiB", available / kMiB, pid,
                              need_on_request / kMiB),
                  false, fallback);
  }
  const std::uint64_t need =
      predicted_child_memory(cost, all_may_be_written(options.method, limits)) + last_headroom(limits);
  const std::uint64_t room = memory_headroom(limits).value_or(~0ull);
  if (room >= need) return;
  throw_no_room(
      pid, cost, options,
      fmt::format("{} has {} MiB left below its memory limit, a frozen copy may need {} MiB{}", pid, room / kMiB,
                  need / kMiB, need == need_on_request ? "" : ", should all of its memory be written meanwhile"),
      need != need_on_request && room >= need_on_request, fallback);
}

}  // namespace

void require_room(pid_t pid, const FreezeOptions& options, bool* fallback) {
  FreezeCost cost = read_freeze_cost(pid);
  // Only when it matters: this walks the target's page tables.
  if (predicted_pause(cost) > options.max_pause)
    cost.huge = sum_of_kilobytes(fmt::format("/proc/{}/smaps", pid), "AnonHugePages:");
  const auto pause = predicted_pause(cost);
  if (pause > options.max_pause) {
    throw Error(ExitCode::kGaveUp,
                fmt::format("freezing {} would stop it for about {} ms, more than --max-pause {} ms", pid,
                            pause.count(), options.max_pause.count()),
                fmt::format("allow it with --max-pause {}ms", pause.count() * 2));
  }
  require_memory(pid, cost, options, fallback);
}

void require_room_for_copy(pid_t pid) {
  if (const auto why = no_room_for_copy(pid, read_freeze_cost(pid)))
    throw Error(ExitCode::kGaveUp, *why, "use --method read, which copies nothing");
}

}  // namespace memsnap
