#include "report/cli/point_logs.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <functional>
#include <system_error>
#include <tuple>

#include "attach/base/error.h"
#include "attach/process_id.h"
#include "report/cli/files.h"
#include "snapshot/points/point_log.h"
#include "snapshot/session/measure_point.h"

namespace memsnap {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kBootDigits = 8;

// A log in WAL mode is written beside itself first.
fs::file_time_type last_written(const fs::path& path) {
  std::error_code error;
  const auto own = fs::last_write_time(path, error);
  if (error) return fs::file_time_type::min();
  const auto ahead = fs::last_write_time(path.string() + "-wal", error);
  return error ? own : std::max(own, ahead);
}

std::optional<std::string> newest(const std::string& directory, const std::function<bool(const std::string&)>& wanted) {
  std::optional<std::string> found;
  fs::file_time_type time;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    const fs::path& path = entry->path();
    if (path.extension() != kLogExtension || !wanted(path.filename()) || !entry->is_regular_file(ignored)) continue;
    const auto written = last_written(path);
    if (found && std::tie(written, path.native()) <= std::tie(time, *found)) continue;
    found = path.string();
    time = written;
  }
  return found;
}

std::optional<OldPointLog> ended_log(const std::string& directory, const fs::path& path) {
  std::vector<MemoryPoint> points;
  try {
    points = PointLog::for_reading(path.string(), {.patience = std::chrono::milliseconds(0), .cancelled = {}}).points();
  } catch (const Error&) {
    return std::nullopt;
  }
  if (points.empty()) return std::nullopt;
  const ProcessKey& process = points.front().process;
  const bool of_one =
      std::all_of(points.begin(), points.end(), [&](const MemoryPoint& point) { return point.process == process; });
  const bool own_name = fs::path(point_log_path(directory, process)).filename() == path.filename();
  if (!of_one || !own_name || process.host != process_key(ProcessId::open(::getpid())).host) return std::nullopt;
  const auto running = running_process(process.pid);
  if (running && *running == process) return std::nullopt;
  OldPointLog log{path.string(), file_size(path.string()), 0, process.pid, points.front().name};
  for (const MemoryPoint& point : points) log.last_point_ns = std::max(log.last_point_ns, point.memory.time_ns);
  return log;
}

}  // namespace

std::string point_log_path(const std::string& directory, const ProcessKey& process) {
  const std::string boot = file_name_part(std::string_view(process.boot).substr(0, kBootDigits));
  return fmt::format("{}/{}-{}-{}{}", directory, process.pid, process.start_time, boot, kLogExtension);
}

std::string point_log_of(const std::string& directory, pid_t pid) {
  if (const auto process = running_process(pid)) {
    std::string path = point_log_path(directory, *process);
    std::error_code error;
    if (fs::exists(path, error)) return path;
  }
  const std::string prefix = fmt::format("{}-", pid);
  const auto found = newest(directory, [&prefix](const std::string& name) { return name.starts_with(prefix); });
  if (found) return *found;
  throw Error(ExitCode::kBadFile, fmt::format("{} has no memory points of process {}", directory, pid),
              fmt::format("make one: memsnap point {}", pid));
}

std::string newest_point_log(const std::string& directory) {
  const auto found = newest(directory, [](const std::string&) { return true; });
  if (found) return *found;
  throw Error(ExitCode::kBadFile, fmt::format("there is no log of memory points in {}", directory),
              "make a point: memsnap point PID; or name a log");
}

std::optional<ProcessKey> running_process(pid_t pid) {
  try {
    return process_key(ProcessId::open(pid));
  } catch (const Error&) {
    return std::nullopt;
  }
}

std::vector<OldPointLog> outdated_point_logs(const std::string& directory, std::chrono::milliseconds keep_for,
                                             std::int64_t now_ns) {
  std::vector<OldPointLog> old;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    const fs::path& path = entry->path();
    if (path.extension() != kLogExtension || !fs::is_regular_file(entry->symlink_status(ignored))) continue;
    const auto log = ended_log(directory, path);
    const std::int64_t oldest = now_ns - std::chrono::duration_cast<std::chrono::nanoseconds>(keep_for).count();
    if (log && log->last_point_ns < oldest) old.push_back(*log);
  }
  std::sort(old.begin(), old.end(), [](const OldPointLog& a, const OldPointLog& b) {
    return std::tie(a.last_point_ns, a.path) < std::tie(b.last_point_ns, b.path);
  });
  return old;
}

void remove_point_log(const std::string& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) {
    throw Error(ExitCode::kCannotWrite, fmt::format("cannot remove {}: {}", path, std::strerror(errno)),
                "run as its owner, or remove it by hand");
  }
  // A writer that was killed leaves these.
  for (const char* const beside : {"-wal", "-shm"}) ::unlink((path + beside).c_str());
}

}  // namespace memsnap
