#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <string_view>

#include "attach/base/error.h"
#include "attach/base/log.h"

namespace memsnap {

struct LogOptions {
  bool quiet = false;
  int verbosity = 0;  // number of -v
  bool json = false;  // one object a line
  bool terminal = false;
  int columns = 0;
  bool names_pid = false;  // text too says which process it is about
};

// Messages on a descriptor (stderr): escaped, one line each. A write that fails is ignored: the target comes first.
class StderrLog final : public Log {
 public:
  StderrLog(int fd, const LogOptions& options);
  ~StderrLog() override;
  StderrLog(const StderrLog&) = delete;
  StderrLog& operator=(const StderrLog&) = delete;

  void warning(std::string_view event, std::string_view message) override;
  void info(std::string_view event, std::string_view message) override;
  void debug(std::string_view event, std::string_view message) override;
  void progress(std::string_view what, unsigned long long done, unsigned long long total) override;

  // What a person sees without -v, but not with -q: "stopped for 9.8 ms".
  void notice(std::string_view event, std::string_view message);
  void error(std::string_view event, const Error& error);
  const LogOptions& options() const { return options_; }
  void change(const LogOptions& options) { options_ = options; }
  void set_pid(pid_t pid) { pid_ = pid; }  // of the target the next messages are about; 0: none

 private:
  void write_line(std::string_view level, std::string_view event, std::string_view message, int code = 0,
                  std::string_view hint = {});
  void clear_progress();

  int fd_;
  LogOptions options_;
  pid_t pid_ = 0;
  std::chrono::steady_clock::time_point began_;
  std::chrono::steady_clock::time_point last_drawn_;
  bool progress_shown_ = false;
};

}  // namespace memsnap
