#include "inject/control/keeper.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>

#include "attach/base/file_descriptor.h"

namespace memsnap {
namespace {

template <class Visitor>
void each_number(const std::string& folder, Visitor visit) {
  DIR* const directory = ::opendir(folder.c_str());
  if (directory == nullptr) return;
  while (const dirent* const entry = ::readdir(directory)) {
    const std::string_view name(static_cast<const char*>(entry->d_name));
    if (name.find_first_not_of("0123456789") == std::string_view::npos)
      visit(static_cast<int>(std::strtol(static_cast<const char*>(entry->d_name), nullptr, 10)));
  }
  ::closedir(directory);
}

// The last of NSpid, proc_pid_status(5): what the process itself calls its pid.
std::uint64_t innermost(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("NSpid:")) return std::strtoull(line.c_str() + line.find_last_of("\t ") + 1, nullptr, 10);
  }
  return 0;
}

bool may_have_them(pid_t pid, std::uint64_t inode) {
  const std::string folder = fmt::format("/proc/{}/fd", pid);
  const bool hidden = ::access(folder.c_str(), F_OK) == 0 && ::access(folder.c_str(), R_OK | X_OK) != 0;
  return hidden || !open_tables(pid, inode).empty();
}

}  // namespace

std::optional<std::uint64_t> start_time_of(pid_t pid) {
  constexpr int kBefore = 19;  // fields between the name's end and the start time
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  std::size_t at = line.rfind(')');
  for (int i = 0; i <= kBefore && at != std::string::npos; ++i) at = line.find(' ', at + 1);
  if (at == std::string::npos) return std::nullopt;
  return std::strtoull(line.c_str() + at + 1, nullptr, 10);
}

std::uint64_t pid_namespace(pid_t pid) {
  struct stat status {};
  return ::stat(fmt::format("/proc/{}/ns/pid", pid).c_str(), &status) == 0 ? status.st_ino : 0;
}

std::vector<int> open_tables(pid_t pid, std::uint64_t inode) {
  std::vector<int> found;
  const std::string name = fmt::format("/memfd:{}", kAgentName);
  const std::string folder = fmt::format("/proc/{}/fd", pid);
  each_number(folder, [&](int number) {
    const std::string path = fmt::format("{}/{}", folder, number);
    std::array<char, 64> link{};
    struct stat status {};
    if (::readlink(path.c_str(), link.data(), link.size() - 1) < 0) return;
    if (!std::string_view(link.data()).starts_with(name) || ::stat(path.c_str(), &status) != 0) return;
    if (inode == 0 || status.st_ino == inode) found.push_back(number);
  });
  return found;
}

bool is_of_memsnap(pid_t pid, int file) {
  std::ifstream info(fmt::format("/proc/{}/fdinfo/{}", pid, file));
  for (std::string line; std::getline(info, line);) {  // proc_pid_fdinfo(5): in octal
    constexpr std::string_view kFlags = "flags:";
    if (line.starts_with(kFlags) && (std::strtoul(line.c_str() + kFlags.size(), nullptr, 8) & O_ACCMODE) == O_RDONLY)
      return true;
  }
  const FileDescriptor tables(
      ::open(fmt::format("/proc/{}/fd/{}", pid, file).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  AgentHeader header{};
  if (!tables || ::pread(tables.get(), &header, sizeof(header), 0) != static_cast<ssize_t>(sizeof(header)))
    return false;
  return header.magic == kAgentMagic && header.keeper_pid == innermost(pid) &&
         header.keeper_start_time == start_time_of(pid).value_or(0);
}

Keeper find_keeper(const AgentHeader& header, std::uint64_t inode) {
  if (header.keeper_pid == 0 || header.keeper_pid > std::numeric_limits<pid_t>::max()) return {};
  const std::uint64_t ours = pid_namespace(::getpid());
  if (header.keeper_namespace == 0 || ours == 0 || header.keeper_namespace == ours) {
    const auto pid = static_cast<pid_t>(header.keeper_pid);
    const auto began = start_time_of(pid);
    const bool same = began && (header.keeper_start_time == 0 || header.keeper_start_time == *began);
    return {.pid = same && may_have_them(pid, inode) ? pid : 0};
  }
  Keeper keeper{.pid = 0, .elsewhere = true};
  each_number("/proc", [&](pid_t pid) {
    if (keeper.pid != 0 || innermost(pid) != header.keeper_pid) return;
    if (pid_namespace(pid) == header.keeper_namespace && may_have_them(pid, inode)) keeper = {.pid = pid};
  });
  return keeper;
}

}  // namespace memsnap
