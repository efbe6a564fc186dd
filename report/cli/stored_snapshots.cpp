#include "report/cli/stored_snapshots.h"

#include <sys/stat.h>

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

std::optional<StoredSnapshot> header_of(const std::string& path) {
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

std::vector<StoredSnapshot> stored_snapshots(const std::string& directory) { return SnapshotFolders().read(directory); }

std::vector<StoredSnapshot> SnapshotFolders::read(const std::string& directory) {
  constexpr std::int64_t kSecond = 1'000'000'000;
  std::map<std::string, Known>& known = folders_[directory];
  std::map<std::string, Known> present;
  std::vector<StoredSnapshot> found;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    const std::string path = entry->path().string();
    struct stat status {};
    if (entry->path().extension() != ".msnap" || ::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode))
      continue;
    Known file{status.st_ino, static_cast<std::uint64_t>(status.st_size),
               status.st_ctim.tv_sec * kSecond + status.st_ctim.tv_nsec, std::nullopt};
    const auto before = known.find(path);
    const bool same =
        before != known.end() && std::tie(before->second.inode, before->second.bytes, before->second.changed_ns) ==
                                     std::tie(file.inode, file.bytes, file.changed_ns);
    file.file = same ? std::move(before->second.file) : header_of(path);
    if (file.file) found.push_back(*file.file);
    present.emplace(path, std::move(file));
  }
  known = std::move(present);
  std::sort(found.begin(), found.end(), [](const StoredSnapshot& a, const StoredSnapshot& b) {
    return std::tie(a.taken_at_ns, a.path) < std::tie(b.taken_at_ns, b.path);
  });
  return found;
}

}  // namespace memsnap
