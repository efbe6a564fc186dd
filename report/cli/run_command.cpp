#include <fcntl.h>
#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attach/base/own_file.h"
#include "report/cli/capture.h"
#include "report/cli/commands.h"
#include "report/cli/files.h"
#include "report/cli/option_values.h"
#include "report/cli/processes.h"
#include "report/cli/run_signals.h"
#include "report/cli/terminal.h"
#include "report/cli/tracking_options.h"
#include "report/cli/value_types.h"
#include "report/cli/version.h"
#include "report/run_report.h"
#include "snapshot/capture/allocation_sites.h"
#include "snapshot/session/run_program.h"

namespace memsnap {
namespace {

namespace fs = std::filesystem;
namespace po = boost::program_options;

constexpr int kSignalled = 128;

std::vector<std::string> command_of(const Invocation& invocation) {
  const std::vector<std::string>& words = invocation.arguments;
  const std::string python = option_value<std::string>(invocation.options, "python").value_or("python3");
  const bool plain = !words.empty() && words.front() == "--";
  const bool module = !words.empty() && words.front() == "-m";
  if (words.empty() || (words.size() == 1 && (plain || module))) {
    throw Error(ExitCode::kUsage, "which program?",
                "memsnap run SCRIPT.py, memsnap run -m MODULE, or memsnap run -- COMMAND");
  }
  if (plain) return {words.begin() + 1, words.end()};
  std::vector<std::string> command{python};
  command.insert(command.end(), words.begin(), words.end());
  return command;
}

// A file for what memsnap says at the end; standard error unless another is named.
class ReportFile {
 public:
  explicit ReportFile(const Invocation& invocation) : format_(invocation.output.format()) {
    const auto path = option_value<std::string>(invocation.options, "report");
    if (format_ != Format::kText && !path) {
      throw Error(ExitCode::kUsage, "--json of run needs --report FILE: standard output is the program's",
                  "--report result.json, --report /dev/fd/3, or --report - for standard output all the same");
    }
    style_ = invocation.output.style();
    if (!path) return;
    own_ = true;
    fd_ = STDOUT_FILENO;
    if (*path == "-") return;
    file_ = open_own(*path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666);
    if (!file_)
      throw Error(ExitCode::kCannotWrite, fmt::format("cannot write {}: {}", *path, std::strerror(errno)), "");
    fd_ = file_.get();
  }

  // Nothing on stderr under -q.
  void write(const Report& report, bool quiet) const {
    if (quiet && !own_) return;
    OutputOptions options{
        .format = format_, .style = style_, .terminal = detect_terminal(fd_, environment_variable), .pager = ""};
    options.style.width = options.terminal.columns;
    options.style.color = use_color(ColorChoice::kAuto, options.terminal, environment_variable);
    Output output(fd_, options);
    output.write_one(report);
  }

 private:
  Format format_;
  TextStyle style_;
  FileDescriptor file_;
  int fd_ = STDERR_FILENO;
  bool own_ = false;
};

class RunSession {
 public:
  explicit RunSession(const Invocation& invocation)
      : invocation_(invocation),
        capturer_(invocation, true),
        report_(invocation),
        signals_(request_signal(invocation.options)) {}

  ExitCode run() {
    RunRequest request = tracking();
    request.command.arguments = command_of(invocation_);
    signals_.give(request.command);
    Candidate unknown;
    unknown.name = "run";
    capturer_.output_path(unknown);  // refuses before anything is started
    request.launched = [this](pid_t pid) {
      signals_.set_program(pid);
      target_ = candidate_of(pid);
      target_.pid = pid;
    };
    request.attend = [this](std::chrono::milliseconds wait) { return signals_.attend(wait); };
    request.look_wanted = [this] { return signals_.take_request(); };
    request.look = [this](const TableReader& tables, SliceRecorder& recorder) { look(tables, recorder); };
    if (option_flag(invocation_.options, "snapshot-at-exit"))
      request.look_at_exit = [this](const TableReader& tables, SliceRecorder& recorder) {
        at_exit_ = capturer_.look_at_tracked(target_, tables, recorder);
      };
    RunResult result = run_program(request, invocation_.log);
    const int status = WIFSIGNALED(result.status) ? kSignalled + WTERMSIG(result.status) : WEXITSTATUS(result.status);
    try {
      finish(std::move(result), status);
    } catch (const Error& error) {
      if (status == 0) throw;
      invocation_.log.error("not_saved", error);
    }
    return static_cast<ExitCode>(status);
  }

 private:
  static int request_signal(const po::variables_map& options) {
    const auto name = option_value<std::string>(options, "snapshot-on-signal");
    if (!name) return 0;
    const int number = signal_number(*name);
    if (number == 0) {
      throw Error(ExitCode::kUsage, fmt::format("--snapshot-on-signal: {} is no signal that is free for it", *name),
                  "USR1, USR2, WINCH, ALRM, PROF, IO, or a number of SIGRTMIN and above");
    }
    return number;
  }

  RunRequest tracking() const {
    RunRequest request;
    request.tracking.period = 1;
    read_recording_options(invocation_.options, request.tracking);
    const FreezeOptions freeze = freeze_options(invocation_.options);
    request.tracking.limits.wait = freeze.wait;
    request.tracking.limits.max_pause = freeze.max_pause;
    request.debug_registers = !option_flag(invocation_.options, "no-debug-registers");
    return request;
  }

  // A snapshot of the running program, with what was allocated so far.
  void look(const TableReader& tables, SliceRecorder& recorder) {
    const std::string path = capturer_.output_path(target_);
    SnapshotResult result = capturer_.look_at_tracked(target_, tables, recorder);
    const fs::path whole(path);
    const std::string name =
        fmt::format("{}-{}{}", whole.stem().string(), snapshots_.size() + 1, whole.extension().string());
    const Capture kept = capturer_.keep(std::move(result), (whole.parent_path() / name).string());
    if (!kept.file) return;
    invocation_.log.notice("snapshot", fmt::format("snapshot {}", kept.file->path));
    snapshots_.push_back(kept.file->path);
  }

  void finish(RunResult result, int status) {
    SnapshotResult last;
    SnapshotHeader& header = last.snapshot.header;
    if (at_exit_) {
      last = std::move(*at_exit_);
    } else {
      header.kind = SnapshotKind::kAllocations;
      header.target = result.target;
      header.memory = result.memory;
      header.method = "run";
      if (result.profile) header.taken_at_ns = result.profile->ended_ns;
    }
    header.target_ended = true;
    header.warnings.insert(header.warnings.end(), result.warnings.begin(), result.warnings.end());
    TrackingFindings tracking{.header = header, .profile = nullptr};
    tracking.refusal = result.refusal.empty() ? "it ended before it was tracked" : result.refusal;
    tracking.load_ms = result.load_ms;
    tracking.target_ended = true;
    tracking.left_behind = result.left_behind;
    tracking.warnings = result.warnings;
    if (result.profile) {
      last.snapshot.profile = std::move(result.profile);
      if (!result.target.name.empty()) target_.name = result.target.name;
      Capture kept = capturer_.keep(std::move(last), capturer_.output_path(target_));
      tracking.file = kept.file;
      last = std::move(kept.result);
      tracking.profile = &*last.snapshot.profile;
    }
    RunFindings findings{.tracking = std::move(tracking),
                         .exit_status = status,
                         .signal = WIFSIGNALED(result.status) ? WTERMSIG(result.status) : 0,
                         .from_start = result.from_start,
                         .start_ms = result.start_ms,
                         .held_ms = result.held_ms,
                         .snapshots = snapshots_};
    report_.write(make_run(findings), option_flag(invocation_.options, "quiet"));
    verdict(findings.tracking.left_behind, invocation_.log);
  }

  const Invocation& invocation_;
  Capturer capturer_;
  ReportFile report_;
  RunSignals signals_;
  Candidate target_;
  std::vector<std::string> snapshots_;
  std::optional<SnapshotResult> at_exit_;
};

ExitCode run_run(const Invocation& invocation) { return RunSession(invocation).run(); }

}  // namespace

Command run_command() {
  Command command;
  command.name = "run";
  command.summary = "start a program and track its allocations from its first instruction";
  command.arguments = "(-m MODULE | SCRIPT.py | -- COMMAND) [ARG...]";
  command.description =
      "Starts it and records who allocates what (every allocation, unless --sample says otherwise) until it\n"
      "ends. The exit status is the program's own (128 + N when signal N ended it), and so are standard input,\n"
      "output and error: what memsnap has to say comes on standard error when the program has ended, or goes\n"
      "to the FILE of --report. A command may become Python by several steps (a script that ends in exec, env,\n"
      "a shim); what it starts as a process of its own is not tracked. Ctrl-C is for the program, and memsnap\n"
      "waits for what it makes of it; SIGTERM and SIGHUP are sent on to it; memsnap's death ends it only\n"
      "while its interpreter is being started.";
  auto add = command.options.add_options();
  add("module,m", po::value<std::string>()->value_name("MODULE"), "run a module, as python3 -m does");
  add("python", po::value<std::string>()->value_name("PATH"), "the Python for -m and a script; default python3");
  add("output,o", po::value<std::string>()->value_name("PATTERN"),
      "file to write: %p pid, %n name, %h host, %t time (UTC), %k kind; default %n-%p-%t.msnap in the directory of "
      "--dir");
  add("force,f", po::bool_switch(), "replace the file when it exists");
  add_recording_options(command.options, "1");
  add("snapshot-at-exit", po::bool_switch(),
      "the file has the objects too, as they are when Python begins to end: after atexit, before modules go");
  add("snapshot-on-signal", po::value<std::string>()->value_name("SIG"),
      "take a snapshot of the program whenever memsnap gets this signal: FILE-1.msnap and so on");
  add("report", po::value<std::string>()->value_name("FILE"),
      "where the summary goes at the end: text, or what --json makes; - is standard output, /dev/fd/3 an open file");
  add("no-debug-registers", po::bool_switch(),
      "do not hold the program at its start by debug registers: its first milliseconds are missed");
  add_look_options(command.options);
  add("min-free", po::value<SizeOrPercent>()->value_name("SIZE|PCT"),
      "leave so much space free on the disk; default 1 GiB or 5 %, whichever is less");
  command.examples = {{"memsnap run app.py --port 80", "all of it, from the first line on"},
                      {"memsnap run -o tests.msnap -m pytest -q", "a module"},
                      {"memsnap run --allocators malloc,python,mmap -- ./manage.py migrate", "small objects too"},
                      {"memsnap run --json --report run.json app.py", "for a script"}};
  command.exit_codes = {ExitCode::kNotStarted, ExitCode::kNotExecutable, ExitCode::kNoSuchProgram};
  command.starts_program = true;
  command.run = run_run;
  return command;
}

}  // namespace memsnap
