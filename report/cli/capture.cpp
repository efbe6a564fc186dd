#include "report/cli/capture.h"

#include <fmt/format.h>
#include <regex.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <utility>

#include "report/cli/files.h"
#include "report/cli/option_values.h"
#include "report/cli/report_command.h"
#include "report/cli/value_types.h"
#include "report/cli/version.h"
#include "report/text_layout.h"
#include "snapshot/session/redact.h"
#include "snapshot/session/take_core_snapshot.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

Method method_of(const std::string& word) {
  if (word == "freeze") return Method::kFreeze;
  if (word == "stop") return Method::kStop;
  return word == "read" ? Method::kRead : Method::kAuto;
}

struct Strings {
  StringsPolicy policy = StringsPolicy::kNames;
  std::uint32_t prefix = 0;
};

Strings strings_of(const std::string& word) {
  if (word == "none") return {StringsPolicy::kNone, 0};
  if (word == "names") return {StringsPolicy::kNames, 0};
  if (word == "hash") return {StringsPolicy::kHash, 0};
  constexpr std::string_view kPrefix = "prefix=";
  constexpr std::uint64_t kLongestPrefix = 1 << 20;
  if (word.starts_with(kPrefix)) {
    const auto bytes = parse_byte_count(word.substr(kPrefix.size()));
    if (bytes && bytes->value > 0 && bytes->value <= kLongestPrefix) {
      return {StringsPolicy::kPrefix, static_cast<std::uint32_t>(bytes->value)};
    }
  }
  throw Error(ExitCode::kUsage, fmt::format("--strings is '{}': expected none, names, prefix=N or hash", word), "");
}

void check_expression(const std::string& text) {
  regex_t regex;
  const int status = ::regcomp(&regex, text.c_str(), REG_EXTENDED | REG_NOSUB);
  if (status == 0) return ::regfree(&regex);
  std::array<char, 200> reason{};
  ::regerror(status, &regex, reason.data(), reason.size());
  throw Error(ExitCode::kUsage, fmt::format("--redact is '{}': {}", text, reason.data()),
              "an extended regular expression");
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::int64_t now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace

const std::vector<ExitCode>& capture_codes() {
  static const std::vector<ExitCode> codes{ExitCode::kNoSuchProcess, ExitCode::kNoPermission, ExitCode::kUnsupported,
                                           ExitCode::kBusy,          ExitCode::kGaveUp,       ExitCode::kSomeFailed,
                                           ExitCode::kCannotWrite,   ExitCode::kTargetHarmed, ExitCode::kLeftBehind};
  return codes;
}

void add_freeze_options(po::options_description& options) {
  auto add = options.add_options();
  add("method", one_of("method", {"auto", "freeze", "stop", "read"}),
      "freeze: a copy-on-write child; stop: stay stopped while copying; read: no stop, not consistent; "
      "auto (default): freeze, else stop (near a memory limit too)");
  add("wait", po::value<Duration>()->value_name("DUR"), "how long to wait until it can be stopped; default 5s");
  add("max-pause", po::value<Duration>()->value_name("DUR"), "longest time it may be stopped; default 250ms");
}

FreezeOptions freeze_options(const po::variables_map& options) {
  FreezeOptions freeze;
  freeze.method = method_of(option_value<std::string>(options, "method").value_or("auto"));
  if (const auto wait = option_value<Duration>(options, "wait")) freeze.wait = wait->value;
  if (const auto pause = option_value<Duration>(options, "max-pause")) freeze.max_pause = pause->value;
  return freeze;
}

void add_look_options(po::options_description& options) {
  auto add = options.add_options();
  add("strings", po::value<std::string>()->value_name("none|names|prefix=N|hash"),
      "how much is kept of str and bytes values; default names: attribute names and dict keys");
  add("redact", po::value<std::vector<std::string>>()->value_name("REGEX"),
      "replace kept text that matches; may be given again");
  add_freeze_options(options);
  add("no-native-memory", po::bool_switch(),
      "leave out what C code keeps for objects (a database, a compressor), which a conservative scan finds");
}

void add_capture_options(po::options_description& options, bool by_size) {
  add_selector_options(options, true, by_size);
  auto add = options.add_options();
  add("output,o", po::value<std::string>()->value_name("PATTERN"),
      "file to write: %p pid, %n name, %h host, %t time (UTC), %c container, %k kind; default %n-%p-%t.msnap in "
      "the directory of --dir");
  add("force,f", po::bool_switch(), "replace the file when it exists");
  add_look_options(options);
  add("native", po::bool_switch(),
      "keep the frames of C code too: in the stacks of threads, and of allocations where they are tracked");
  add("require-complete", po::bool_switch(), "a partial or inconsistent snapshot is not kept: code 7");
  add("min-free", po::value<SizeOrPercent>()->value_name("SIZE|PCT"),
      "leave so much space free on the disk; default 1 GiB or 5 %, whichever is less");
  add("dry-run", po::bool_switch(), "say what would be done and what it needs; touch nothing");
}

Capturer::Capturer(const Invocation& invocation, bool save)
    : invocation_(invocation),
      save_(save),
      dry_run_(option_flag(invocation.options, "dry-run")),
      force_(option_flag(invocation.options, "force")) {
  const std::string kind = option_value<std::string>(invocation.options, "kind").value_or("heap");
  if (kind == "types") kind_ = SnapshotKind::kTypes;
  if (kind == "session") kind_ = SnapshotKind::kSession;
  const SnapshotRequest checked = request_for(0);
  for (const std::string& expression : checked.redact) check_expression(expression);
  const auto pattern = option_value<std::string>(invocation.options, "output");
  if (save && pattern) expand_name(*pattern, {});
}

SnapshotRequest Capturer::request_for(pid_t pid, std::uint64_t start_time) const {
  const po::variables_map& options = invocation_.options;
  SnapshotRequest request;
  request.pid = pid;
  request.start_time = start_time;
  request.kind = kind_;
  request.freeze = freeze_options(options);
  request.freeze.method = method_.value_or(request.freeze.method);
  const Strings strings = strings_of(option_value<std::string>(options, "strings").value_or("names"));
  request.native_memory = !option_flag(options, "no-native-memory");
  request.strings = strings.policy;
  request.strings_prefix = strings.prefix;
  request.redact = option_value<std::vector<std::string>>(options, "redact").value_or(std::vector<std::string>());
  request.native = option_flag(options, "native");
  request.cancelled = invocation_.cancelled;
  return request;
}

std::string Capturer::path_for(const Candidate& target) const {
  const NameParts parts{target.pid, target.name, host_name(), now_ns(), target.container, kind_name(kind_)};
  const auto wanted = option_value<std::string>(invocation_.options, "output");
  const std::string path = snapshot_path(wanted, wanted ? "" : directory_of_snapshots(invocation_.options), parts);
  return force_ || (wanted && names_one_file(*wanted)) ? path : path_not_taken(path);
}

std::string Capturer::plan_path(const Candidate& target) const { return save_ ? path_for(target) : ""; }

// Empty: nothing is saved.
std::string Capturer::writable_path_for(const Candidate& target) const {
  const po::variables_map& options = invocation_.options;
  if (!save_) return "";
  if (options.count("output") == 0) make_private_directory(directory_of_snapshots(options));
  std::string path = path_for(target);
  require_writable(path, force_, option_value<SizeOrPercent>(options, "min-free"));
  return path;
}

Capture Capturer::take(const Candidate& target) const {
  const std::string path = writable_path_for(target);
  return keep(look(target), path);
}

SnapshotResult Capturer::look(const Candidate& target) const {
  return take_any_snapshot(request_for(target.pid, target.start_time), invocation_.log);
}

SnapshotResult Capturer::look_at_tracked(const Candidate& target, const TableReader& tables,
                                         SliceRecorder& recorder) const {
  SnapshotRequest request = request_for(target.pid, target.start_time);
  request.cancelled = nullptr;
  return take_tracked_snapshot(std::move(request), tables, recorder, invocation_.log);
}

Capture Capturer::take_core(const std::string& core) const {
  for (const char* option : {"method", "wait", "max-pause", "dry-run"}) {
    const auto found = invocation_.options.find(option);
    if (found == invocation_.options.end() || found->second.defaulted()) continue;
    throw Error(ExitCode::kUsage, fmt::format("--{} is for a process that runs, and --core is none", option), "");
  }
  const CoreFile file(core);
  const TargetInfo info = describe_target(file);
  Candidate target;
  target.pid = info.pid;
  target.name = info.name;
  const std::string path = writable_path_for(target);
  const CoreSearch search{.program = option_value<std::string>(invocation_.options, "exe").value_or(""),
                          .root = option_value<std::string>(invocation_.options, "sysroot").value_or("")};
  SnapshotResult result{take_core_snapshot(file, search, request_for(info.pid), invocation_.log), {}};
  return keep(std::move(result), path);
}

void Capturer::hide_texts(Snapshot& snapshot) const {
  const auto expressions = option_value<std::vector<std::string>>(invocation_.options, "redact");
  if (expressions) redact(snapshot, *expressions);
}

Capture Capturer::keep(SnapshotResult result, const std::string& path, bool again) const {
  const po::variables_map& options = invocation_.options;
  Capture capture{std::move(result), std::nullopt};
  SnapshotHeader& header = capture.result.snapshot.header;
  header.tool_version = version_number();
  hide_texts(capture.result.snapshot);
  if (option_flag(options, "require-complete") && (header.partial || !header.consistent)) {
    throw Error(ExitCode::kGaveUp,
                header.partial ? "the snapshot is partial, and --require-complete was given"
                               : "the snapshot is not of one moment, and --require-complete was given",
                "nothing was saved");
  }
  if (save_) {
    SaveOptions how;
    how.force = force_ || again;
    capture.file = SavedFile{path, save_snapshot(capture.result.snapshot, path, how)};
  }
  return capture;
}

ExitCode verdict(const Capture& capture, StderrLog& log) { return verdict(capture.result.left_behind, log); }

ExitCode verdict(const std::vector<std::string>& left_behind, StderrLog& log) {
  if (left_behind.empty()) return ExitCode::kDone;
  std::string list;
  for (const std::string& line : left_behind) list += line + '\n';
  log.error("left_behind", Error(ExitCode::kLeftBehind, "something was left behind in the process", list));
  return ExitCode::kLeftBehind;
}

}  // namespace memsnap
