#include <fmt/format.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "attach/memory_guard.h"
#include "attach/process_id.h"
#include "attach/stopped_process.h"
#include "report/cli/capture.h"
#include "report/cli/commands.h"
#include "report/cli/doctor_checks.h"
#include "report/cli/files.h"
#include "report/cli/option_values.h"
#include "report/cli/processes.h"
#include "report/cli/rounds.h"
#include "report/cli/signals.h"
#include "report/cli/snapshot_taker.h"
#include "report/cli/watch_limits.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kInterval{1000};
constexpr milliseconds kAfterFailure{1000};
constexpr milliseconds kCooldown{600'000};

WatchLimits read_limits(const po::variables_map& values) {
  WatchLimits limits;
  if (const auto rss = option_value<ByteCount>(values, "rss-over")) limits.rss_over = rss->value;
  if (const auto part = option_value<Percent>(values, "cgroup-over")) limits.cgroup_over = part->value;
  if (const auto text = option_value<std::string>(values, "grew")) {
    limits.grew = parse_growth_limit(*text);
    if (!limits.grew) {
      throw Error(ExitCode::kUsage, fmt::format("--grew is '{}': expected SIZE or PCT, and /DUR when it counts", *text),
                  "--grew 500MiB, --grew 20%, --grew 100MiB/10m");
    }
  }
  if (limits.is_empty())
    throw Error(ExitCode::kUsage, "watch for what?", "--rss-over 2GiB, --grew 100MiB/10m or --cgroup-over 90%");
  return limits;
}

// /bin/sh -c 'COMMAND "$@"' memsnap FILE; its output is its own. Waits for it.
void run_command(const std::string& command, const std::string& file, StderrLog& log) {
  const std::string line = command + " \"$@\"";
  const pid_t child = ::fork();
  if (child == 0) {
    sigset_t none;
    sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::execl("/bin/sh", "sh", "-c", line.c_str(), "memsnap", file.c_str(), nullptr);
    ::_exit(127);
  }
  int status = 0;
  pid_t ended = 0;
  while (child > 0 && (ended = ::waitpid(child, &status, 0)) < 0 && errno == EINTR) {
    if (SignalGuard::received() != 0) ::kill(child, SIGTERM);  // it is not to outlive us
  }
  if (child < 0 || ended != child) {
    log.warning("exec_failed", fmt::format("--exec could not be run: {}", std::strerror(errno)));
  } else if (status != 0) {
    log.warning("exec_failed", WIFEXITED(status) ? fmt::format("--exec ended with status {}", WEXITSTATUS(status))
                                                 : fmt::format("--exec was ended by signal {}", WTERMSIG(status)));
  }
}

class Watch {
 public:
  Watch(const Invocation& invocation, const Candidate& target)
      : invocation_(invocation),
        target_(target),
        process_(ProcessId::open(target.pid)),
        limits_(memory_limits(target.pid)),
        watch_(read_limits(invocation.options)),
        taker_(invocation),
        interval_(option_value<Duration>(invocation.options, "interval").value_or(Duration{kInterval}).value),
        cooldown_(option_value<Duration>(invocation.options, "cooldown").value_or(Duration{kCooldown}).value),
        exec_(option_value<std::string>(invocation.options, "exec")) {
    if (const auto max = option_value<WholeNumber>(invocation.options, "max")) most_ = max->value;
    if (most_ == 0U) throw Error(ExitCode::kUsage, "--max is 0", "without --max there is no end but the process's");
    if (option_value<Percent>(invocation.options, "cgroup-over") && limits_.empty()) {
      throw Error(ExitCode::kUsage, fmt::format("process {} has no memory limit above it", target.pid),
                  "--rss-over and --grew need none");
    }
  }

  ExitCode run() {
    require_that_it_would_work();
    invocation_.log.notice("watching", fmt::format("watching {} (Ctrl-C ends it)", target_.pid));
    auto quiet_until = steady_clock::now();
    auto next = quiet_until;
    while (sleep_until(next, invocation_)) {
      const auto sample = look();
      if (!sample) {
        invocation_.log.notice("target_ended", fmt::format("process {} has ended", target_.pid));
        break;
      }
      const auto reason = watch_.crossed(*sample);
      if (reason && sample->at >= quiet_until) {
        invocation_.log.notice("limit_crossed", fmt::format("{}: {}", target_.pid, *reason));
        const bool taken = take();
        if (most_ && taken_ >= *most_) break;
        watch_.begin_again(*sample);
        quiet_until = steady_clock::now() + std::min(cooldown_, taken ? cooldown_ : after_failure_);
        after_failure_ = taken ? kAfterFailure : std::min(2 * after_failure_, cooldown_ + kAfterFailure);
      }
      next = steady_clock::now() + pause();
    }
    return worst_;
  }

 private:
  // What stands in the way is to be known now, and not when memory runs out. A process that only begins is not yet
  // seen to be Python.
  void require_that_it_would_work() const {
    FreezeOptions freeze = freeze_options(invocation_.options);
    if (copies_near_limit()) freeze.method = Method::kFreeze;
    const DoctorResult found = check_process(target_.pid, folder_of(taker_.plan_path(target_)), freeze);
    for (const Check& check : found.checks) {
      if (check.verdict != Verdict::kBad) continue;
      if (found.code == ExitCode::kNoPermission) throw Error(found.code, check.text, check.hint);
      invocation_.log.warning("would_not_work", fmt::format("as it is now, no snapshot can be taken: {}", check.text));
    }
  }

  // Empty: it has ended.
  std::optional<MemorySample> look() const {
    if (!process_.alive()) return std::nullopt;
    // VmRSS is kept by the kernel: it takes no lock of the target's, as a walk of its mappings would.
    const std::uint64_t rss = status_number(target_.pid, "VmRSS", 10, 0) * 1024;
    if (rss == 0) return std::nullopt;
    return MemorySample{steady_clock::now(), rss, memory_used_part(limits_)};
  }

  milliseconds pause() { return watch_.pause(interval_); }

  bool take() {
    std::string file;
    try {
      const ExitCode code = take_near_limit([&](const Capture& capture) {
        if (capture.file) file = capture.file->path;
      });
      if (code != ExitCode::kDone) worst_ = code;
    } catch (const Error& error) {
      if (error.code() == ExitCode::kTargetHarmed || invocation_.cancelled()) throw;
      invocation_.log.error("no_snapshot", error);
      if (error.code() != ExitCode::kNoSuchProcess) worst_ = ExitCode::kSomeFailed;
      return false;
    }
    ++taken_;
    if (exec_ && !file.empty()) run_command(*exec_, file, invocation_.log);
    return true;
  }

  // Near its limit a copy is not made unasked. Who watches for the limit has asked: else the process ends unseen.
  bool copies_near_limit() const {
    return invocation_.options.count("method") == 0 && invocation_.options.count("cgroup-over") != 0;
  }

  ExitCode take_near_limit(const SnapshotTaker::Taken& taken) {
    try {
      return taker_.take(target_, taken);
    } catch (const Error& error) {
      if (error.code() != ExitCode::kGaveUp || !copies_near_limit()) throw;
      invocation_.log.notice("copied_near_limit", fmt::format("{}; as by --method freeze", error.what()));
    }
    taker_.use_method(Method::kFreeze);
    return taker_.take(target_, taken);
  }

  const Invocation& invocation_;
  const Candidate& target_;
  ProcessId process_;
  std::vector<MemoryLimit> limits_;
  LimitWatch watch_;
  SnapshotTaker taker_;
  milliseconds interval_;
  milliseconds cooldown_;
  milliseconds after_failure_ = kAfterFailure;  // longer each time
  std::optional<std::string> exec_;
  std::optional<std::uint32_t> most_;
  std::uint32_t taken_ = 0;
  ExitCode worst_ = ExitCode::kDone;
};

ExitCode run_watch(const Invocation& invocation) {
  Selector selector = read_selector(invocation.options, invocation.arguments);
  selector.rss_over.reset();  // here it says what to watch for
  if (is_empty(selector))
    throw Error(ExitCode::kUsage, "which process?", "memsnap watch PID --rss-over 2GiB; memsnap ps lists them");
  if (selector.several == Several::kEach) throw Error(ExitCode::kUsage, "one process at a time", "");
  if (invocation.output.format() == Format::kJson)
    throw Error(ExitCode::kUsage, "--json is one document: watch writes several with --jsonl", "");
  const std::vector<Candidate> targets = find_targets(selector);
  invocation.log.set_pid(targets.front().pid);
  if (option_flag(invocation.options, "dry-run")) return SnapshotTaker(invocation).take(targets.front());
  return Watch(invocation, targets.front()).run();
}

}  // namespace

Command watch_command() {
  Command command;
  command.name = "watch";
  command.summary = "wait, and take a snapshot when a process uses too much memory";
  command.arguments = "PID | SELECTOR";
  command.description =
      "Looks at what the kernel counts, without stopping the process, more often as it nears a limit, and takes a "
      "snapshot when one is crossed: before the OOM killer comes. Ends with the process, at --max, or with Ctrl-C. "
      "Whether a snapshot will be permitted is asked at once.";
  auto add = command.options.add_options();
  add("rss-over", po::value<ByteCount>()->value_name("SIZE"), "its resident memory is more than this");
  add("grew", po::value<std::string>()->value_name("SIZE|PCT[/DUR]"),
      "it grew by so much since the watch began, or within DUR");
  add("cgroup-over", po::value<Percent>()->value_name("PCT"),
      "so much of the nearest memory limit is used; where a copy is not made unasked, as by --method freeze then");
  add("interval", po::value<Duration>()->value_name("DUR"), "longest time between two looks; default 1s");
  add("cooldown", po::value<Duration>()->value_name("DUR"), "between two snapshots; default 10m");
  add("max", po::value<WholeNumber>()->value_name("N"), "end after N snapshots");
  add("exec", po::value<std::string>()->value_name("COMMAND"),
      "for each snapshot, by /bin/sh, with the file's name as its last argument");
  add_capture_options(command.options, false);
  add_taker_options(command.options);
  command.examples = {{"memsnap watch 4242 --cgroup-over 90% --max 1", "before a container is killed for its memory"},
                      {"memsnap watch --unit shop --largest --grew 100MiB/10m --keep 10", "whenever it grows fast"},
                      {"memsnap watch 4242 --rss-over 2GiB --exec 'logger -t memsnap'", "and say so in the journal"}};
  command.exit_codes = capture_codes();
  command.touches_process = true;
  command.run = run_watch;
  return command;
}

}  // namespace memsnap
