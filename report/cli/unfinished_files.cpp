#include "report/cli/unfinished_files.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>

#include "attach/base/error.h"
#include "attach/base/file_descriptor.h"

namespace memsnap {
namespace {

namespace fs = std::filesystem;

// As OutputFile names them: a pid, and perhaps a number behind it.
bool is_temporary_name(std::string_view name) {
  constexpr std::string_view kMark = ".msnap.tmp.";
  const std::size_t mark = name.rfind(kMark);
  if (mark == std::string_view::npos) return false;
  const std::string_view rest = name.substr(mark + kMark.size());
  const auto is_number = [](std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
  };
  const std::size_t dot = rest.find('.');
  return dot == std::string_view::npos ? is_number(rest)
                                       : is_number(rest.substr(0, dot)) && is_number(rest.substr(dot + 1));
}

std::optional<UnfinishedFile> look_at(const std::string& path, std::chrono::seconds least_age) {
  const FileDescriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode) || status.st_uid != ::geteuid()) return {};
  const std::chrono::nanoseconds written =
      std::chrono::seconds(status.st_mtim.tv_sec) + std::chrono::nanoseconds(status.st_mtim.tv_nsec);
  if (std::chrono::system_clock::now().time_since_epoch() - written < least_age) return {};
  if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return {};
  return UnfinishedFile{path, static_cast<std::uint64_t>(status.st_size), written.count()};
}

}  // namespace

std::vector<UnfinishedFile> unfinished_files(const std::string& directory, std::chrono::seconds least_age) {
  std::vector<UnfinishedFile> found;
  std::error_code error;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    if (!is_temporary_name(entry->path().filename().string())) continue;
    if (auto file = look_at(entry->path().string(), least_age)) found.push_back(std::move(*file));
  }
  std::sort(found.begin(), found.end(),
            [](const UnfinishedFile& a, const UnfinishedFile& b) { return a.path < b.path; });
  return found;
}

void remove_unfinished(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return;
  throw Error(ExitCode::kCannotWrite, fmt::format("cannot remove {}: {}", path, std::strerror(errno)),
              "remove it by hand");
}

}  // namespace memsnap
