#include "report/cli/history.h"

#include <fmt/format.h>

#include <charconv>
#include <string_view>
#include <system_error>
#include <vector>

#include "attach/base/error.h"
#include "report/cli/stored_snapshots.h"
#include "report/cli/value_types.h"

namespace memsnap {

std::vector<std::string> snapshots_of(const std::string& directory, int pid) {
  std::vector<StoredSnapshot> found = stored_snapshots(directory);
  std::erase_if(found, [&](const StoredSnapshot& one) { return one.pid != pid; });
  std::vector<std::string> paths;
  for (const StoredSnapshot& one : found) {
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
