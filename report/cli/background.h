#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "attach/base/error.h"
#include "attach/base/file_descriptor.h"
#include "report/cli/command.h"

namespace memsnap {

// Descriptors, but the first three, that came from whoever ran memsnap; `own_files`: also what this memsnap had open
// itself. Its pipes stay: libunwind, which unwinds exceptions too, has one, and would write to what got its number.
void close_inherited(bool own_files);

// Runs a session in a process of its own, the keeper, which goes on when the command has returned: with a session and
// a process group of its own, in /, and with `log` for what it has to say, one JSON object a line.
//
// `session` calls what it is given once it has really begun. Returns the keeper's pid then; throws the Error that it
// ended with before.
using KeptSession = std::function<ExitCode(const Invocation&, const std::function<void()>& started)>;
pid_t start_keeper(const Invocation& invocation, const std::string& log, const KeptSession& session);

// How a session ended, as its keeper's log has it.
struct KeeperEnd {
  bool told = false;  // its result is there
  std::string file;
  std::uint64_t hooks_undone = 0;
  double pause_ms = 0;
  std::vector<std::string> left_behind;
  std::vector<std::string> warnings;
  std::vector<std::string> child_files;
  std::optional<Error> error;  // the last
};

// The log of a keeper that is to be ended: opened while it lives, and read when it is gone.
class KeeperLog {
 public:
  explicit KeeperLog(pid_t keeper);
  bool there() const { return static_cast<bool>(file_); }  // false: the session is not in the background
  KeeperEnd end() const;

 private:
  FileDescriptor file_;
  off_t begin_ = 0;
};

}  // namespace memsnap
