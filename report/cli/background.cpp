#include "report/cli/background.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <optional>
#include <utility>

#include "attach/base/file_descriptor.h"
#include "report/cli/error_report.h"
#include "report/cli/signals.h"
#include "snapshot/store/json.h"

namespace memsnap {
namespace {

void write_line(int fd, std::string line) {
  line += '\n';
  std::string_view rest = line;
  while (!rest.empty()) {  // the foreground may be gone: then nobody is to be told
    const ssize_t written = ::write(fd, rest.data(), rest.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

void tell_error(int fd, const Error& error) {
  JsonWriter json;
  json.begin_object();
  json.key("code").number(static_cast<std::int64_t>(error.code()));
  json.key("what").text(error.what()).key("hint").text(error.hint());
  json.end_object();
  write_line(fd, json.result());
}

FileDescriptor open_log(const std::string& path) {
  FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
  struct stat status {};
  const char* why = file ? "it is no file" : std::strerror(errno);
  if (file && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode)) {
    // One that lay there already: another user's could be read by that user, and another name of a file leads to it.
    if (status.st_uid == ::geteuid() && status.st_nlink == 1) return file;
    why = "it is another user's, or has another name too";
  }
  throw Error(ExitCode::kCannotWrite, fmt::format("cannot write the log {}: {}", path, why),
              "choose another place with -o");
}

// The keeper's own side, from the second fork to its end.
class KeeperProcess {
 public:
  KeeperProcess(const Invocation& invocation, FileDescriptor log, FileDescriptor foreground)
      : invocation_(invocation), log_(std::move(log)), foreground_(std::move(foreground)) {}

  int run(const KeptSession& session) {
    JsonWriter pid;
    pid.begin_object();
    pid.key("pid").number(static_cast<std::int64_t>(::getpid()));
    pid.end_object();
    write_line(foreground_.get(), pid.result());
    settle();
    OutputOptions lines;
    lines.format = Format::kJsonLines;
    Output output(STDOUT_FILENO, lines);
    const Invocation invocation{invocation_.options, invocation_.arguments, output, invocation_.log,
                                invocation_.cancelled};
    try {
      return static_cast<int>(session(invocation, [this] { started(); }));
    } catch (const Error& error) {
      return fail(error);
    } catch (const std::exception& error) {
      return fail(error_from(error));
    }
  }

 private:
  void settle() {
    if (::chdir("/") != 0) return;  // of no use, and of no harm
    ::umask(077);
    const FileDescriptor null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    if (null) ::dup2(null.get(), STDIN_FILENO);
    ::dup2(log_.get(), STDOUT_FILENO);
    ::dup2(log_.get(), STDERR_FILENO);
    close_inherited(false);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) SignalGuard::heed(number);
    LogOptions log = invocation_.log.options();
    log.json = true;
    log.terminal = false;
    log.quiet = false;
    invocation_.log.change(log);
  }

  void started() {
    started_ = true;
    JsonWriter json;
    json.begin_object();
    json.key("started").boolean(true);
    json.end_object();
    write_line(foreground_.get(), json.result());
    foreground_.reset();
  }

  int fail(const Error& error) {
    invocation_.log.error(event_of(error.code()), error);
    if (!started_) tell_error(foreground_.get(), error);
    return static_cast<int>(error.code());
  }

  const Invocation& invocation_;
  FileDescriptor log_;
  FileDescriptor foreground_;
  bool started_ = false;
};

// Lines that the keeper writes until it has begun or failed.
class KeeperMessages {
 public:
  KeeperMessages(FileDescriptor file, const Invocation& invocation) : file_(std::move(file)), invocation_(invocation) {}

  pid_t wait_for_start() {
    while (const auto message = next()) {
      const JsonValue& json = *message;
      if (const auto pid = json["pid"].signed_number(); pid > 0) keeper_ = static_cast<pid_t>(pid);
      if (json["started"].boolean()) return keeper_;
      if (const auto code = json["code"].signed_number(); code > 0)
        throw Error(static_cast<ExitCode>(code), json["what"].text(), json["hint"].text());
    }
    throw Error(ExitCode::kGaveUp, "the memsnap that was to track in the background ended before it began",
                "memsnap detach removes what it may have left");
  }

 private:
  std::optional<JsonValue> next() {
    for (;;) {
      const std::size_t end = text_.find('\n');
      if (end != std::string::npos) {
        const std::string line = text_.substr(0, end);
        text_.erase(0, end + 1);
        return JsonValue::parse(line);
      }
      wait_for_more();
      std::array<char, 4096> piece{};
      const ssize_t got = ::read(file_.get(), piece.data(), piece.size());
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) return std::nullopt;
      text_.append(piece.data(), static_cast<std::size_t>(got));
    }
  }

  // Ctrl-C ends the keeper too: it has a process group of its own.
  void wait_for_more() {
    constexpr int kEvery = 100;  // ms
    pollfd file{.fd = file_.get(), .events = POLLIN, .revents = 0};
    while (::poll(&file, 1, kEvery) <= 0) {
      if (keeper_ != 0 && invocation_.cancelled() && !std::exchange(asked_to_end_, true)) ::kill(keeper_, SIGTERM);
    }
  }

  FileDescriptor file_;
  const Invocation& invocation_;
  std::string text_;
  pid_t keeper_ = 0;
  bool asked_to_end_ = false;
};

}  // namespace

void close_inherited(bool own_files) {
  std::vector<int> open;
  DIR* const directory = ::opendir("/proc/self/fd");
  if (directory == nullptr) return;
  while (const dirent* const entry = ::readdir(directory)) {
    const int file = static_cast<int>(std::strtol(static_cast<const char*>(entry->d_name), nullptr, 10));
    struct stat status {};
    if (file <= STDERR_FILENO || file == ::dirfd(directory) || ::fstat(file, &status) != 0) continue;
    const bool foreign = (::fcntl(file, F_GETFD) & FD_CLOEXEC) == 0;
    if (foreign || (own_files && !S_ISFIFO(status.st_mode))) open.push_back(file);
  }
  ::closedir(directory);
  for (const int file : open) ::close(file);
}

KeeperLog::KeeperLog(pid_t keeper) {
  std::array<struct stat, 2> streams{};
  for (const int number : {STDOUT_FILENO, STDERR_FILENO}) {
    const std::string path = fmt::format("/proc/{}/fd/{}", keeper, number);
    if (::stat(path.c_str(), &streams.at(static_cast<std::size_t>(number - 1))) != 0) return;
  }
  const bool is_log =
      S_ISREG(streams[0].st_mode) && streams[0].st_ino == streams[1].st_ino && streams[0].st_dev == streams[1].st_dev;
  if (!is_log) return;
  const std::string path = fmt::format("/proc/{}/fd/{}", keeper, STDERR_FILENO);
  file_ = FileDescriptor(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  begin_ = file_ ? std::max<off_t>(::lseek(file_.get(), 0, SEEK_END), 0) : 0;
}

KeeperEnd KeeperLog::end() const {
  constexpr std::size_t kMost = 8u << 20;
  KeeperEnd end;
  std::string text;
  std::array<char, 1 << 16> piece{};
  for (off_t at = begin_; text.size() < kMost;) {
    const ssize_t got = ::pread(file_.get(), piece.data(), piece.size(), at);
    if (got <= 0) break;
    text.append(piece.data(), static_cast<std::size_t>(got));
    at += got;
  }
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t line_end = std::min(text.find('\n', at), text.size());
    const auto json = JsonValue::parse(std::string_view(text).substr(at, line_end - at));
    at = line_end + 1;
    if (!json) continue;
    if ((*json)["level"].text() == "error" && (*json)["code"].signed_number() > 0)
      end.error = Error(static_cast<ExitCode>((*json)["code"].signed_number()), (*json)["msg"].text(), "");
    if ((*json)["schema"].text() != "memsnap.capture/1") continue;
    end.told = true;
    end.file = (*json)["file"].text();
    end.hooks_undone = (*json)["hooks_undone"].unsigned_number();
    end.pause_ms = (*json)["unload_pause_ms"].real();
    for (const JsonValue& line : (*json)["left_behind"].items()) end.left_behind.push_back(line.text());
    for (const JsonValue& line : (*json)["warnings"].items()) end.warnings.push_back(line.text());
    for (const JsonValue& child : (*json)["children"].items()) end.child_files.push_back(child["file"].text());
  }
  return end;
}

pid_t start_keeper(const Invocation& invocation, const std::string& log, const KeptSession& session) {
  FileDescriptor log_file = open_log(log);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw Error(ExitCode::kGaveUp, "no pipe could be made", "");
  FileDescriptor here(ends[0]);
  FileDescriptor there(ends[1]);
  const pid_t between = ::fork();
  if (between < 0) throw Error(ExitCode::kGaveUp, fmt::format("fork: {}", std::strerror(errno)), "");
  if (between == 0) {  // what is on this stack is the foreground's: no return
    ::setsid();
    // Not a session's leader: no terminal can become its own.
    here.reset();
    if (::fork() == 0) ::_exit(KeeperProcess(invocation, std::move(log_file), std::move(there)).run(session));
    ::_exit(0);
  }
  ::waitpid(between, nullptr, 0);
  there.reset();
  return KeeperMessages(std::move(here), invocation).wait_for_start();
}

}  // namespace memsnap
