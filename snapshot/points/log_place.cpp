#include "snapshot/points/log_place.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <filesystem>
#include <system_error>

#include "attach/base/error.h"
#include "attach/base/own_file.h"

namespace memsnap {

namespace fs = std::filesystem;

std::string place_of_log(const std::string& path) {
  if (is_foreign_link(path)) {
    throw Error(ExitCode::kBadFile, fmt::format("{} is a link that another user made", path),
                "name the file itself with --log");
  }
  std::error_code error;
  const fs::path whole(path);
  const bool is_link = fs::is_symlink(fs::symlink_status(whole, error));
  const fs::path folder = whole.has_parent_path() ? whole.parent_path() : fs::path(".");
  const fs::path place = is_link ? fs::canonical(whole, error) : fs::canonical(folder, error) / whole.filename();
  return error ? path : place.string();
}

void require_own_side_files(const std::string& place) {
  struct stat log {};
  if (::lstat(place.c_str(), &log) != 0) return;
  for (const char* end : {"-wal", "-shm", "-journal"}) {
    const std::string beside = place + end;
    if (!is_foreign_file(beside, log.st_uid)) continue;
    throw Error(ExitCode::kBadFile, fmt::format("{} was put there by another user", beside),
                "remove it, or keep the log in a folder of your own");
  }
}

}  // namespace memsnap
