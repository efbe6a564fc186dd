#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace memsnap {

// A snapshot file in a directory, and what its header says. Texts are the target's.
struct StoredSnapshot {
  std::string path;
  std::uint64_t bytes = 0;  // of the file
  std::int64_t taken_at_ns = 0;
  pid_t pid = 0;
  std::uint64_t start_time = 0;  // of the process, clock ticks since boot
  std::string host;
  std::string name;
  std::string container;
  std::uint64_t rss = 0;

  bool is_same_process(const StoredSnapshot& other) const {
    return pid == other.pid && start_time == other.start_time && host == other.host;
  }
};

// The oldest first. What is no snapshot, is damaged, or of a newer memsnap is passed over; links are not followed.
std::vector<StoredSnapshot> stored_snapshots(const std::string& directory);

// The same, again and again: a file that is as it was is not opened another time.
class SnapshotFolders {
 public:
  std::vector<StoredSnapshot> read(const std::string& directory);

 private:
  struct Known {
    std::uint64_t inode = 0, bytes = 0;
    std::int64_t changed_ns = 0;
    std::optional<StoredSnapshot> file;  // empty: no snapshot
  };
  std::map<std::string, std::map<std::string, Known>> folders_;  // by directory and path
};

}  // namespace memsnap
