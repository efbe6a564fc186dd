#include "report/cli/stored_snapshots.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>
#include <tuple>

#include "attach/base/error.h"
#include "report/cli/files.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {
namespace {

namespace fs = std::filesystem;

std::optional<StoredSnapshot> read(const std::string& path) {
  try {
    const SnapshotHeader header = load_snapshot(path, 0).header;
    StoredSnapshot found;
    found.path = path;
    found.bytes = file_size(path);
    found.taken_at_ns = header.taken_at_ns;
    found.pid = header.target.pid;
    found.start_time = header.target.start_time;
    found.host = header.target.host;
    found.name = header.target.name;
    found.container = header.target.container;
    found.rss = header.memory.rss;
    return found;
  } catch (const Error&) {
    return std::nullopt;  // half written, or of a newer memsnap: info says so when asked
  }
}

}  // namespace

std::vector<StoredSnapshot> stored_snapshots(const std::string& directory) {
  std::vector<StoredSnapshot> found;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->path().extension() != ".msnap" || !fs::is_regular_file(entry->symlink_status(ignored))) continue;
    if (auto one = read(entry->path().string())) found.push_back(std::move(*one));
  }
  std::sort(found.begin(), found.end(), [](const StoredSnapshot& a, const StoredSnapshot& b) {
    return std::tie(a.taken_at_ns, a.path) < std::tie(b.taken_at_ns, b.path);
  });
  return found;
}

}  // namespace memsnap
