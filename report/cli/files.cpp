#include "report/cli/files.h"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <system_error>

#include "attach/base/error.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestPart = 40;
constexpr std::uint64_t kMinFreeBytes = std::uint64_t{1} << 30;
constexpr double kMinFreePercent = 5;

std::string home_directory(const GetVariable& variable, bool secure) {
  if (!secure) {
    if (const auto home = variable("HOME"); home && home->starts_with('/')) return *home;
  }
  const passwd* entry = ::getpwuid(::getuid());
  if (entry != nullptr && entry->pw_dir != nullptr && entry->pw_dir[0] == '/') return entry->pw_dir;
  return "/tmp";
}

std::string compact_utc(std::int64_t ns) {
  const std::time_t seconds = ns / 1'000'000'000;
  std::tm parts{};
  if (::gmtime_r(&seconds, &parts) == nullptr) return "unknown";
  return fmt::format("{:04}{:02}{:02}T{:02}{:02}{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                     parts.tm_hour, parts.tm_min, parts.tm_sec);
}

void require_space(const std::string& folder, const std::optional<SizeOrPercent>& min_free) {
  struct statvfs space {};
  if (::statvfs(folder.c_str(), &space) != 0) return;
  const std::uint64_t unit = space.f_frsize;
  const std::uint64_t free = space.f_bavail * unit;
  const auto part = [&](double percent) {
    return static_cast<std::uint64_t>(static_cast<double>(space.f_blocks * unit) * percent / 100);
  };
  const std::uint64_t least = !min_free           ? std::min(kMinFreeBytes, part(kMinFreePercent))
                              : min_free->percent ? part(*min_free->percent)
                                                  : min_free->bytes;
  if (free >= least) return;
  throw Error(ExitCode::kCannotWrite,
              fmt::format("{} has {} free, less than --min-free {}", folder, bytes_text(free, Units::kIec),
                          bytes_text(least, Units::kIec)),
              "free some space, write elsewhere with -o, or lower --min-free");
}

}  // namespace

std::string default_directory(const GetVariable& variable, bool secure) {
  if (!secure) {
    if (const auto chosen = variable("MEMSNAP_DIR"); chosen && !chosen->empty()) return *chosen;
  }
  return home_directory(variable, secure) + "/.local/state/memsnap";
}

void make_private_directory(const std::string& path) {
  std::error_code error;
  const fs::path parent = fs::path(path).parent_path();
  if (!parent.empty()) fs::create_directories(parent, error);
  if (::mkdir(path.c_str(), 0700) == 0) return;
  struct stat status {};
  if (::stat(path.c_str(), &status) == 0 && S_ISDIR(status.st_mode)) return;
  throw Error(ExitCode::kCannotWrite, fmt::format("cannot make the directory {}: {}", path, std::strerror(errno)),
              "name a file with -o, or another directory with --dir");
}

std::string newest_snapshot(const std::string& directory) {
  std::error_code error;
  fs::path newest;
  fs::file_time_type newest_time;
  for (fs::directory_iterator entry(directory, error), end; !error && entry != end; entry.increment(error)) {
    std::error_code ignored;
    if (entry->path().extension() != ".msnap" || !entry->is_regular_file(ignored)) continue;
    const auto time = entry->last_write_time(ignored);
    if (ignored || (!newest.empty() && (time < newest_time || (time == newest_time && entry->path() < newest)))) {
      continue;
    }
    newest = entry->path();
    newest_time = time;
  }
  if (newest.empty()) {
    throw Error(ExitCode::kBadFile, fmt::format("there is no snapshot in {}", directory),
                "name a file, or take one: memsnap snapshot PID");
  }
  return newest.string();
}

std::string file_name_part(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
    if (plain) {
      out += c;
    } else if (!out.empty() && out.back() != '_') {
      out += '_';
    }
    if (out.size() == kLongestPart) break;
  }
  while (!out.empty() && (out.back() == '_' || out.back() == '.')) out.pop_back();
  while (!out.empty() && (out.front() == '.' || out.front() == '-')) out.erase(0, 1);
  return out.empty() ? "python" : out;
}

std::string expand_name(std::string_view pattern, const NameParts& parts) {
  std::string out;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '%') {
      out += pattern[i];
      continue;
    }
    const char letter = i + 1 < pattern.size() ? pattern[++i] : '\0';
    switch (letter) {
      case 'p':
        out += fmt::to_string(parts.pid);
        break;
      case 'n':
        out += file_name_part(parts.name);
        break;
      case 'h':
        out += file_name_part(parts.host);
        break;
      case 't':
        out += compact_utc(parts.time_ns);
        break;
      case 'c':
        out += parts.container.empty() ? "host" : file_name_part(parts.container);
        break;
      case 'k':
        out += parts.kind;
        break;
      case '%':
        out += '%';
        break;
      default:
        throw Error(ExitCode::kUsage, fmt::format("-o '{}': a % that is followed by none of p n h t c k %", pattern),
                    "%p pid, %n name, %h host, %t time (UTC), %c container, %k kind, %% a percent sign");
    }
  }
  return out;
}

bool names_one_file(const std::string& wanted) {
  std::error_code error;
  if (wanted.ends_with('/') || fs::is_directory(wanted, error)) return false;
  NameParts early, late;
  late.time_ns = 1'000'000'000;
  return expand_name(wanted, early) == expand_name(wanted, late);
}

std::string snapshot_path(const std::optional<std::string>& wanted, const std::string& directory,
                          const NameParts& parts) {
  if (!wanted) return directory + "/" + expand_name(kDefaultName, parts);
  std::error_code error;
  if (wanted->ends_with('/') || fs::is_directory(*wanted, error)) {
    const std::string folder = wanted->ends_with('/') ? *wanted : *wanted + "/";
    return folder + expand_name(kDefaultName, parts);
  }
  return expand_name(*wanted, parts);
}

std::string path_not_taken(const std::string& path) {
  const fs::path wanted(path);
  fs::path name = wanted;
  std::error_code error;
  for (unsigned number = 2; fs::exists(fs::symlink_status(name, error)) && number != 0; ++number) {
    name = wanted.parent_path() / (wanted.stem().string() + fmt::format("-{}", number));
    name += wanted.extension();
  }
  return name.string();
}

void require_writable(const std::string& path, bool force, const std::optional<SizeOrPercent>& min_free) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) {
      throw Error(ExitCode::kCannotWrite, fmt::format("{} is a directory", path), "name a file with -o");
    }
    if (!force) throw Error(ExitCode::kCannotWrite, fmt::format("{} exists", path), "-f replaces it");
  }
  const std::string folder = folder_of(path);
  if (::access(folder.c_str(), W_OK | X_OK) != 0) {
    throw Error(ExitCode::kCannotWrite, fmt::format("cannot write in {}: {}", folder, std::strerror(errno)),
                "choose another place with -o");
  }
  require_space(folder, min_free);
}

std::string folder_of(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

std::uint64_t file_size(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 && status.st_size > 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

}  // namespace memsnap
