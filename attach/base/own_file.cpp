#include "attach/base/own_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace memsnap {
namespace {

bool is_own(const struct stat& status) { return status.st_uid == 0 || status.st_uid == ::geteuid(); }

}  // namespace

bool is_foreign_link(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && S_ISLNK(status.st_mode) && !is_own(status);
}

bool is_foreign_file(const std::string& path, uid_t besides) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0 && !is_own(status) && status.st_uid != besides;
}

FileDescriptor open_own(const std::string& path, int flags, mode_t mode) {
  FileDescriptor file(::open(path.c_str(), flags | O_NOFOLLOW, mode));
  if (file || errno != ELOOP) return file;
  if (is_foreign_link(path)) {
    errno = ELOOP;
    return {};
  }
  return FileDescriptor(::open(path.c_str(), flags, mode));
}

}  // namespace memsnap
