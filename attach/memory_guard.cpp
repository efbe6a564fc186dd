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

std::chrono::milliseconds predicted_pause(const FreezeCost& cost) {
  const std::uint64_t of_huge = cost.huge / kTableReach;
  const auto tables = static_cast<double>(cost.page_tables - std::min(cost.page_tables, of_huge));
  const double total = kPauseAtLeast + kPausePerPageTableMiB * tables / static_cast<double>(kMiB) +
                       kPausePerThread * static_cast<double>(cost.threads);
  return std::chrono::milliseconds(static_cast<std::int64_t>(total));
}

void require_room(pid_t pid, std::chrono::milliseconds max_pause) {
  FreezeCost cost = read_freeze_cost(pid);
  // Only when it matters: this walks the target's page tables.
  if (predicted_pause(cost) > max_pause)
    cost.huge = sum_of_kilobytes(fmt::format("/proc/{}/smaps", pid), "AnonHugePages:");
  const auto pause = predicted_pause(cost);
  if (pause > max_pause) {
    throw Error(ExitCode::kGaveUp,
                fmt::format("freezing {} would stop it for about {} ms, more than --max-pause {} ms", pid,
                            pause.count(), max_pause.count()),
                fmt::format("allow it with --max-pause {}ms", pause.count() * 2));
  }
  const auto limits = memory_limits(pid);
  // Elsewhere the kernel takes the child first when it is written to faster than we look.
  const std::uint64_t need = predicted_child_memory(cost, kills_group(limits)) + last_headroom(limits);
  const auto below_limit = memory_headroom(limits);
  const std::uint64_t room = std::min(below_limit.value_or(~0ull), available_memory());
  if (room >= need) return;
  throw Error(ExitCode::kGaveUp,
              fmt::format("{} has {} MiB left below {}, a frozen copy may need {} MiB", pid, room / kMiB,
                          room == below_limit ? "its memory limit" : "what the machine has free", need / kMiB),
              "raise the limit, or use --method stop, which needs none of the target's memory");
}

void require_room_for_copy(pid_t pid) {
  const std::uint64_t need = read_freeze_cost(pid).resident + kFixedCost;
  const auto below_limit = memory_headroom(memory_limits(::getpid()));
  const std::uint64_t room = std::min(below_limit.value_or(~0ull), available_memory());
  if (room >= need) return;
  throw Error(ExitCode::kGaveUp,
              fmt::format("a copy of {}'s memory needs {} MiB here, {} MiB are free", pid, need / kMiB, room / kMiB),
              "use --method read, which copies nothing");
}

}  // namespace memsnap
