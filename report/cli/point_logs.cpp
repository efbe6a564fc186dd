#include "report/cli/point_logs.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
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

}  // namespace memsnap
