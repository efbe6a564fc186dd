#include "report/cli/target_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <cerrno>
#include <cstring>

#include "attach/base/error.h"

namespace memsnap {
namespace {

FileDescriptor open_lock(const std::string& file, pid_t target) {
  if (file == "auto") {
    FileDescriptor folder(::open(fmt::format("/proc/{}", target).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder) throw Error(ExitCode::kNoSuchProcess, fmt::format("there is no process {}", target), "");
    return folder;
  }
  // No link is followed: memsnap often runs as root, and the folder may be anybody's.
  FileDescriptor opened(::open(file.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!opened) {
    throw Error(ExitCode::kCannotWrite, fmt::format("cannot open the lock {}: {}", file, std::strerror(errno)),
                "--lock auto needs no file");
  }
  return opened;
}

}  // namespace

TargetLock::TargetLock(const std::string& file, pid_t target) : file_(open_lock(file, target)) {
  if (::flock(file_.get(), LOCK_EX | LOCK_NB) == 0) return;
  if (errno == EWOULDBLOCK) {
    throw Error(ExitCode::kBusy, fmt::format("another memsnap is at work on {} (--lock {})", target, file),
                "try again when it is done");
  }
  throw Error(ExitCode::kCannotWrite, fmt::format("cannot lock {}: {}", file, std::strerror(errno)),
              "name a file on a local disk");
}

std::optional<TargetLock> lock_target(const std::optional<std::string>& file, pid_t target) {
  return file ? std::optional<TargetLock>(std::in_place, *file, target) : std::nullopt;
}

}  // namespace memsnap
