#include "attach/process_id.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <utility>

#include "attach/base/error.h"

namespace memsnap {
namespace {

struct Stat {
  char state = 0;
  std::uint64_t start_time = 0;
};

// proc_pid_stat(5): the name in parentheses may hold anything, so fields are counted behind the last ')'.
std::optional<Stat> read_stat(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::ostringstream text;
  text << file.rdbuf();
  const std::string line = text.str();
  const std::size_t close = line.rfind(')');
  if (close == std::string::npos) return std::nullopt;
  std::istringstream fields(line.substr(close + 1));
  Stat stat;
  std::string skipped;
  fields >> stat.state;
  for (int field = 4; field < 22; ++field) fields >> skipped;
  fields >> stat.start_time;
  if (!fields) return std::nullopt;
  return stat;
}

bool leads_its_thread_group(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("Tgid:")) return std::stoll(line.substr(5)) == pid;
  }
  return false;
}

[[noreturn]] void throw_gone(pid_t pid) {
  throw Error(ExitCode::kNoSuchProcess, fmt::format("there is no process {}", pid), "list candidates with: memsnap ps");
}

}  // namespace

ProcessId::ProcessId(pid_t pid, std::uint64_t start_time, FileDescriptor pidfd)
    : pid_(pid), start_time_(start_time), pidfd_(std::move(pidfd)) {}

ProcessId ProcessId::open(pid_t pid) {
  FileDescriptor pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const auto stat = read_stat(pid);
  if (pid <= 0 || !stat) throw_gone(pid);
  if (stat->state == 'Z' || stat->state == 'X') {
    throw Error(ExitCode::kNoSuchProcess, fmt::format("process {} has ended (it is a zombie)", pid), "");
  }
  if (!leads_its_thread_group(pid)) {
    throw Error(ExitCode::kNoSuchProcess, fmt::format("{} is a thread, not a process", pid), "give the process's pid");
  }
  return {pid, stat->start_time, std::move(pidfd)};
}

ProcessId ProcessId::open(pid_t pid, std::uint64_t start_time) {
  ProcessId found = open(pid);
  if (start_time != 0 && found.start_time_ != start_time)
    throw Error(ExitCode::kNoSuchProcess, fmt::format("process {} has ended, and its pid is another's", pid), "");
  return found;
}

bool ProcessId::alive() const {
  if (pidfd_) {
    pollfd ended{pidfd_.get(), POLLIN, 0};
    if (::poll(&ended, 1, 0) > 0) return false;
  }
  const auto stat = read_stat(pid_);
  return stat && stat->start_time == start_time_ && stat->state != 'Z' && stat->state != 'X';
}

void ProcessId::require_alive() const {
  if (!alive()) throw Error(ExitCode::kNoSuchProcess, fmt::format("process {} has ended", pid_), "");
}

void ProcessId::require_memory() const {
  constexpr int kLooks = 500;
  constexpr useconds_t kPause = 1000;
  for (int look = 0; look < kLooks; ++look) {
    require_alive();
    std::uint64_t pages = 0;
    std::ifstream(fmt::format("/proc/{}/statm", pid_)) >> pages;
    if (pages != 0) return;
    ::usleep(kPause);
  }
}

}  // namespace memsnap
