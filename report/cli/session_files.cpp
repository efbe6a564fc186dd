#include "report/cli/session_files.h"

#include <fmt/format.h>

#include <filesystem>
#include <system_error>

namespace memsnap {
namespace {

namespace fs = std::filesystem;

std::string with_suffix(const std::string& path, const std::string& suffix) {
  const fs::path whole(path);
  return (whole.parent_path() / (whole.stem().string() + suffix + whole.extension().string())).string();
}

}  // namespace

std::string path_of_first(const std::string& path) { return with_suffix(path, "-before"); }

std::string path_of_child(const std::string& path, pid_t child) { return with_suffix(path, fmt::format("-{}", child)); }

std::string path_of_log(const std::string& path) { return fs::path(path).replace_extension(".log").string(); }

std::string path_on_demand(const std::string& path, unsigned& number, bool replace) {
  for (;; ++number) {
    const std::string candidate = with_suffix(path, fmt::format("-{}", number));
    std::error_code ignored;
    if (replace || !fs::exists(fs::symlink_status(candidate, ignored))) return candidate;
  }
}

}  // namespace memsnap
