#include "report/cli/output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <memory>
#include <span>
#include <sstream>

#include "attach/base/error.h"
#include "attach/base/file_descriptor.h"
#include "snapshot/store/output_file.h"

namespace memsnap {
namespace {

std::unique_ptr<Renderer> make_renderer(Format format, const TextStyle& style) {
  switch (format) {
    case Format::kText:
      return std::make_unique<TextRenderer>(style);
    case Format::kJson:
      return std::make_unique<JsonRenderer>();
    case Format::kJsonLines:
      return std::make_unique<JsonLinesRenderer>();
    case Format::kCsv:
      return std::make_unique<CsvRenderer>();
  }
  throw Error(ExitCode::kInternal, "no such output format", "");
}

// Errno of the write that failed, 0 when all was written.
int write_to(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return errno;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
  return 0;
}

// `confined`: it is root's, and neither the environment nor a file in the home directory tells it what to run.
[[noreturn]] void run_pager(const std::string& command, int input, bool confined) {
  ::dup2(input, STDIN_FILENO);
  std::signal(SIGPIPE, SIG_DFL);
  std::signal(SIGXFSZ, SIG_DFL);
  if (confined) {
    const std::string terminal = "TERM=" + environment_variable("TERM").value_or("dumb");
    const std::array<const char*, 5> environment{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LESSSECURE=1", terminal.c_str(),
                                                 locale_is_utf8() ? "LC_ALL=C.UTF-8" : "LC_ALL=C", nullptr};
    ::execle("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr), environment.data());
  }
  ::execl("/bin/sh", "sh", "-c", command.c_str(), static_cast<char*>(nullptr));
  ::_exit(127);
}

}  // namespace

std::string Output::rendered(const Report& report, const TextStyle& style) const {
  std::ostringstream out;
  make_renderer(options_.format, style)->render(report, out);
  return std::move(out).str();
}

void Output::write(const Report& report) {
  const std::string text = rendered(report, options_.style);
  if (options_.format == Format::kText) return write_text(text);
  write_all(text);
}

void Output::clear_screen() {
  if (options_.terminal.is_terminal && !options_.terminal.dumb) write_all("\x1b[H\x1b[2J");
}

void Output::write_now(const Report& report) { write_all(rendered(report, options_.style)); }

void Output::write_one(const Report& report) {
  if (options_.format == Format::kJsonLines) return write_line(report);
  write(report);
}

void Output::write_line(const Report& report) {
  std::ostringstream out;
  JsonRenderer().render(report, out);
  write_all(out.str());
}

void Output::write_text(std::string_view text) {
  if (!write_paged(text)) write_all(text);
}

void Output::write_all(std::string_view text) {
  const int error = write_to(fd_, text);
  if (error == EPIPE) throw OutputClosed{};
  if (error != 0) {
    throw Error(ExitCode::kCannotWrite, fmt::format("cannot write the output: {}", std::strerror(error)),
                "free some space, or write to another place");
  }
}

bool Output::write_paged(std::string_view text) {
  if (options_.pager.empty() || !options_.terminal.is_terminal || options_.terminal.dumb) return false;
  const auto lines = std::count(text.begin(), text.end(), '\n');
  if (lines < options_.terminal.rows) return false;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return false;
  FileDescriptor read_end(ends[0]);
  FileDescriptor write_end(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) run_pager(options_.pager, read_end.get(), options_.pager_is_confined);
  read_end.reset();
  write_to(write_end.get(), text);  // a reader that quits early has seen enough
  write_end.reset();
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  // The shell says 127 when there is no such program, 126 when it cannot be run.
  return !(WIFEXITED(status) && (WEXITSTATUS(status) == 127 || WEXITSTATUS(status) == 126));
}

void Output::write_file(const Report& report, const std::string& path, bool force) {
  TextStyle plain = options_.style;
  plain.width = 0;
  plain.color = false;
  write_text_file(rendered(report, plain), path, force);
}

void Output::write_text_file(std::string_view text, const std::string& path, bool force) {
  OutputFile file(path, force);
  file.append(std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));  // NOLINT: bytes
  file.commit();
}

}  // namespace memsnap
