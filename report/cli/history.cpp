#include "report/cli/history.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <tuple>

#include "attach/base/error.h"
#include "report/cli/value_types.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {
namespace {

namespace fs = std::filesystem;

struct Found {
  std::uint64_t start_time = 0;
  std::int64_t taken_at_ns = 0;
  std::string path;
};

std::optional<Found> read(const fs::path& path, int pid) {
  try {
    const Snapshot snapshot = load_snapshot(path, 0);
    if (snapshot.header.target.pid != pid) return std::nullopt;
    return Found{snapshot.header.target.start_time, snapshot.header.taken_at_ns, path.string()};
  } catch (const Error&) {
    return std::nullopt;  // half written, or of a newer memsnap: info says so when asked
  }
}

}  // namespace

std::vector<std::string> snapshots_of(const std::string& directory, int pid) {
  std::vector<Found> found;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->path().extension() != ".msnap" || !entry->is_regular_file(ignored)) continue;
    if (auto one = read(entry->path(), pid)) found.push_back(std::move(*one));
  }
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) {
    return std::tie(a.taken_at_ns, a.path) < std::tie(b.taken_at_ns, b.path);
  });
  std::vector<std::string> paths;
  for (const Found& one : found) {
    if (one.start_time == found.back().start_time) paths.push_back(one.path);
  }
  return paths;
}

std::string snapshot_named(const std::string& word, const std::string& directory) {
  const std::size_t at = word.find('@');
  const auto pid = parse_process_number(std::string_view(word).substr(0, at));
  if (!pid) return word;
  if (at == std::string::npos) {
    throw Error(ExitCode::kUsage, fmt::format("{} is the number of a process, and a file is wanted", word),
                fmt::format("./{} is a file; {}@-1 is the last snapshot of the process", word, word));
  }
  int back = 0;
  const char* const end = word.data() + word.size();
  const auto [stop, error] = std::from_chars(word.data() + at + 1, end, back);
  if (error != std::errc() || stop != end || back >= 0) {
    throw Error(ExitCode::kUsage, fmt::format("'{}' is no snapshot of a process", word),
                fmt::format("{}@-1 is the last one, {}@-2 the one before", pid->value, pid->value));
  }
  const auto paths = snapshots_of(directory, pid->value);
  if (paths.size() >= static_cast<std::size_t>(-static_cast<long>(back))) {
    return paths[paths.size() - static_cast<std::size_t>(-static_cast<long>(back))];
  }
  throw Error(ExitCode::kBadFile, fmt::format("{} has {} snapshots of process {}", directory, paths.size(), pid->value),
              fmt::format("take one: memsnap snapshot {}", pid->value));
}

}  // namespace memsnap
