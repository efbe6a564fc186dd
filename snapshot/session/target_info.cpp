#include "snapshot/session/target_info.h"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

namespace memsnap {
namespace {

constexpr std::size_t kMaxCommandLine = 4096;
constexpr std::size_t kContainerId = 64;  // hex digits, as docker, containerd, podman and CRI-O write them

std::string read_text(const std::string& path, std::size_t limit) {
  std::ifstream file(path, std::ios::binary);
  std::string text(limit, '\0');
  file.read(text.data(), static_cast<std::streamsize>(limit));
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

std::string link_target(const std::string& path) {
  std::array<char, 4096> target{};
  const ssize_t size = ::readlink(path.c_str(), target.data(), target.size());
  return size < 0 ? "" : std::string(target.data(), static_cast<std::size_t>(size));
}

std::vector<std::string> arguments_of(pid_t pid) {
  std::vector<std::string> arguments;
  std::istringstream text(read_text(fmt::format("/proc/{}/cmdline", pid), kMaxCommandLine));
  for (std::string argument; std::getline(text, argument, '\0');) arguments.push_back(argument);
  return arguments;
}

std::string base_name(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

std::string user_of(pid_t pid) {
  struct stat owner {};
  if (::stat(fmt::format("/proc/{}", pid).c_str(), &owner) < 0) return "";
  passwd entry{};
  passwd* found = nullptr;
  std::array<char, 4096> buffer{};
  if (::getpwuid_r(owner.st_uid, &entry, buffer.data(), buffer.size(), &found) == 0 && found != nullptr)
    return found->pw_name;
  return std::to_string(owner.st_uid);
}

std::string container_of(pid_t pid) {
  const std::string text = read_text(fmt::format("/proc/{}/cgroup", pid), 1u << 16);
  std::size_t run = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool hex = (text[i] >= '0' && text[i] <= '9') || (text[i] >= 'a' && text[i] <= 'f');
    run = hex ? run + 1 : 0;
    if (run == kContainerId) return text.substr(i + 1 - kContainerId, kContainerId);
  }
  return "";
}

// Field 22 of proc_pid_stat(5) in ticks, against the time since boot.
double uptime_of(pid_t pid, std::uint64_t* start_time) {
  const std::string line = read_text(fmt::format("/proc/{}/stat", pid), 4096);
  const std::size_t close = line.rfind(')');
  if (close == std::string::npos) return 0;
  std::istringstream fields(line.substr(close + 1));
  std::string word;
  for (int field = 3; field < 22; ++field) fields >> word;
  fields >> *start_time;
  const double since_boot = std::strtod(read_text("/proc/uptime", 64).c_str(), nullptr);
  return std::max(0.0, since_boot - static_cast<double>(*start_time) / static_cast<double>(::sysconf(_SC_CLK_TCK)));
}

}  // namespace

std::string short_name(const std::vector<std::string>& arguments) {
  if (arguments.empty()) return "";
  if (base_name(arguments[0]).find("python") == std::string::npos) return base_name(arguments[0]);
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    if (arguments[i] == "-m" && i + 1 < arguments.size()) return arguments[i + 1];
    if (arguments[i] == "-c") return "python -c";
    if (arguments[i] == "-X" || arguments[i] == "-W") {
      ++i;
    } else if (!arguments[i].starts_with("-")) {
      return base_name(arguments[i]);
    }
  }
  return base_name(arguments[0]);
}

TargetInfo read_target_info(pid_t pid) {
  TargetInfo info;
  info.pid = pid;
  std::array<char, 256> host{};
  if (::gethostname(host.data(), host.size() - 1) == 0) info.host = host.data();
  const std::vector<std::string> arguments = arguments_of(pid);
  for (const std::string& argument : arguments) info.command_line += (info.command_line.empty() ? "" : " ") + argument;
  info.name = short_name(arguments);
  info.executable = link_target(fmt::format("/proc/{}/exe", pid));
  info.user = user_of(pid);
  info.container = container_of(pid);
  info.uptime_seconds = uptime_of(pid, &info.start_time);
  return info;
}

}  // namespace memsnap
