#include "snapshot/store/output_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>

#include "attach/base/error.h"

namespace memsnap {
namespace {

std::string hint_for(int error) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free some space, or write to another file system with -o";
    case EACCES:
    case EPERM:
    case EROFS:
      return "choose a folder you may write to with -o";
    case ENOENT:
    case ENOTDIR:
      return "create the folder first, or choose another with -o";
    default:
      return "choose another place with -o";
  }
}

constexpr int kMostTemporaries = 1000;

// Not a file of ours: put there by another user.
bool is_planted(const std::filesystem::path& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && !(S_ISREG(status.st_mode) && status.st_uid == ::geteuid());
}

// Never replaces a file: not even one that appears at this very moment.
int rename_exclusively(const char* from, const char* to) {
  if (syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0) return 0;
  if (errno != EINVAL && errno != ENOSYS) return errno;
  // A file system that does not know the flag: a hard link does not replace anything either.
  if (::link(from, to) != 0) return errno;
  ::unlink(from);
  return 0;
}

}  // namespace

OutputFile::OutputFile(std::filesystem::path path, bool force, mode_t mode)
    : path_(std::move(path)), temporary_(path_.string() + fmt::format(".tmp.{}", getpid())), force_(force) {
  struct stat status {};
  if (!force_ && ::lstat(path_.c_str(), &status) == 0) fail(EEXIST);
  const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const std::string wanted = temporary_.string();
  for (int number = 1; number <= kMostTemporaries; ++number) {
    file_ = FileDescriptor(::open(temporary_.c_str(), flags, mode));
    if (file_ || errno != EEXIST) break;
    // Another thread's, one's of the same pid in another container, or left by one that was killed: let be. But what
    // another user planted goes.
    if (is_planted(temporary_) && ::unlink(temporary_.c_str()) == 0) continue;
    temporary_ = wanted + fmt::format(".{}", number);
    errno = EEXIST;
  }
  if (!file_) fail(errno);
  ::fchmod(file_.get(), mode);              // whatever the umask
  ::flock(file_.get(), LOCK_EX | LOCK_NB);  // it is being written: prune lets it be
}

OutputFile::~OutputFile() {
  if (file_ && !committed_) ::unlink(temporary_.c_str());
}

void OutputFile::append(std::span<const std::uint8_t> bytes) {
  write_at(size_, bytes);
  size_ += bytes.size();
}

void OutputFile::overwrite(std::uint64_t offset, std::span<const std::uint8_t> bytes) { write_at(offset, bytes); }

void OutputFile::write_at(std::uint64_t offset, std::span<const std::uint8_t> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail(written < 0 ? errno : ENOSPC);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
    offset += static_cast<std::uint64_t>(written);
  }
}

void OutputFile::commit() {
  if (::fsync(file_.get()) != 0 && errno != EINVAL && errno != EROFS) fail(errno);
  if (force_) {
    if (std::rename(temporary_.c_str(), path_.c_str()) != 0) fail(errno);
  } else if (const int error = rename_exclusively(temporary_.c_str(), path_.c_str()); error != 0) {
    fail(error);
  }
  committed_ = true;
  // The name itself must survive a crash too; the data are safe already, so this may fail.
  const auto folder = path_.has_parent_path() ? path_.parent_path() : std::filesystem::path(".");
  const FileDescriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory) ::fsync(directory.get());
}

void OutputFile::fail(int error) const {
  if (error == EEXIST) {
    throw Error(ExitCode::kCannotWrite, fmt::format("{} exists already", path_.string()),
                "choose another name with -o, or replace it with -f");
  }
  throw Error(ExitCode::kCannotWrite, fmt::format("cannot write {}: {}", path_.string(), std::strerror(error)),
              hint_for(error));
}

}  // namespace memsnap
