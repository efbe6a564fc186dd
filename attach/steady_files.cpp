#include "attach/steady_files.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace memsnap {
namespace {

bool is_ours_alone(const struct stat& status) {
  return (status.st_uid == 0 || status.st_uid == ::geteuid()) && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

}  // namespace

FileDescriptor SteadyFiles::take(FileDescriptor file) {
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) return {};
  if (is_ours_alone(status)) return file;
  const auto size = static_cast<std::uint64_t>(status.st_size);
  if (size > kMostOfOne || size > room_) {
    ++left_out_;
    return {};
  }
  FileDescriptor copy(::memfd_create("library", MFD_CLOEXEC));
  off_t at = 0;
  while (copy && at < status.st_size) {
    const ssize_t sent = ::sendfile(copy.get(), file.get(), &at, static_cast<std::size_t>(status.st_size - at));
    if (sent <= 0) return {};
    room_ -= std::min<std::uint64_t>(room_, static_cast<std::uint64_t>(sent));
  }
  return copy;
}

std::optional<std::string> SteadyFiles::left_out() const {
  if (left_out_ == 0) return std::nullopt;
  return fmt::format("{} librar{} that others may write, too large to be copied: functions of theirs have no names",
                     left_out_, left_out_ == 1 ? "y" : "ies");
}

}  // namespace memsnap
