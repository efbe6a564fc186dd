#include "report/cli/stderr_log.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <sstream>

#include "attach/base/printable.h"
#include "report/json_output.h"
#include "report/snapshot_facts.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kQuietStart = std::chrono::seconds(1);  // a command shorter than this draws nothing
constexpr auto kRedraw = std::chrono::milliseconds(100);

void write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

std::string now_utc() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return utc_time(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count());
}

// Each line of a hint under the message, two columns in.
std::string indented(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    out += fmt::format("  {}\n", printable(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace

StderrLog::StderrLog(int fd, const LogOptions& options) : fd_(fd), options_(options), began_(Clock::now()) {}

StderrLog::~StderrLog() { clear_progress(); }

void StderrLog::warning(std::string_view event, std::string_view message) {
  if (!options_.quiet) write_line("warning", event, message);
}

void StderrLog::notice(std::string_view event, std::string_view message) {
  if (!options_.quiet) write_line("notice", event, message);
}

void StderrLog::info(std::string_view event, std::string_view message) {
  if (!options_.quiet && options_.verbosity >= 1) write_line("info", event, message);
}

void StderrLog::debug(std::string_view event, std::string_view message) {
  if (!options_.quiet && options_.verbosity >= 2) write_line("debug", event, message);
}

void StderrLog::error(std::string_view event, const Error& error) {
  write_line("error", event, error.what(), static_cast<int>(error.code()), error.hint());
}

void StderrLog::write_line(std::string_view level, std::string_view event, std::string_view message, int code,
                           std::string_view hint) {
  clear_progress();
  if (options_.json) {
    std::ostringstream out;
    JsonOutput json(out);
    json.begin_object();
    json.member("ts", now_utc());
    json.member("level", level);
    json.member("event", event);
    if (pid_ != 0) json.member("pid", static_cast<std::uint64_t>(pid_));
    if (code != 0) json.member("code", static_cast<std::uint64_t>(code));
    json.member("msg", message);
    if (!hint.empty()) json.member("hint", hint);
    json.end_object();
    out << '\n';
    write_all(fd_, out.str());
    return;
  }
  const std::string_view mark = level == "warning" ? "warning: " : "";
  const std::string whom = options_.names_pid && pid_ != 0 ? fmt::format("{}: ", pid_) : "";
  write_all(fd_, fmt::format("memsnap: {}{}{}\n{}", whom, mark, printable(message), indented(hint)));
}

void StderrLog::progress(std::string_view what, unsigned long long done, unsigned long long total) {
  if (!options_.terminal || options_.quiet || options_.json) return;
  const auto now = Clock::now();
  if (now - began_ < kQuietStart || now - last_drawn_ < kRedraw) return;
  last_drawn_ = now;
  std::string text = printable(what) + ' ' + count_text(done);
  if (total != 0) {
    text += fmt::format(" of {}  {} %", count_text(total), percent_text(percent_of(done, total)));
  }
  const std::size_t columns = options_.columns > 1 ? static_cast<std::size_t>(options_.columns) - 1 : 79;
  write_all(fd_, "\r\x1b[K" + cut_middle(text, columns, true));
  progress_shown_ = true;
}

void StderrLog::clear_progress() {
  if (!progress_shown_) return;
  write_all(fd_, "\r\x1b[K");
  progress_shown_ = false;
}

}  // namespace memsnap
