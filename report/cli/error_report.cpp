#include "report/cli/error_report.h"

#include <fmt/format.h>

#include <new>
#include <sstream>
#include <system_error>

#include "report/json_output.h"

namespace memsnap {

Error error_from(const std::exception& error) {
  const auto* const system = dynamic_cast<const std::system_error*>(&error);
  const bool no_thread = system != nullptr && system->code() == std::errc::resource_unavailable_try_again;
  if (no_thread || dynamic_cast<const std::bad_alloc*>(&error) != nullptr) {
    return {ExitCode::kGaveUp, "memsnap has not enough memory (its own limit, or the machine's)",
            "see ulimit -v; --no-native-memory and --kind types need less"};
  }
  return {ExitCode::kInternal, fmt::format("internal error: {}", error.what()),
          "this is a bug of memsnap: please report it with the command line"};
}

std::string error_json(const Error& error, pid_t pid) {
  std::ostringstream out;
  JsonOutput json(out);
  json.begin_object();
  json.member("schema", std::string_view("memsnap.error/1"));
  if (pid != 0) json.member("pid", static_cast<std::uint64_t>(pid));
  json.member("code", static_cast<std::uint64_t>(error.code()));
  json.member("event", event_of(error.code()));
  json.member("message", std::string_view(error.what()));
  json.member("hint", error.hint());
  json.end_object();
  out << '\n';
  return out.str();
}

std::string_view event_of(ExitCode code) {
  switch (code) {
    case ExitCode::kDone:
      return "done";
    case ExitCode::kThreshold:
      return "threshold";
    case ExitCode::kUsage:
      return "usage";
    case ExitCode::kNoSuchProcess:
      return "no_such_process";
    case ExitCode::kNoPermission:
      return "not_permitted";
    case ExitCode::kUnsupported:
      return "not_supported";
    case ExitCode::kBusy:
      return "busy";
    case ExitCode::kGaveUp:
      return "gave_up";
    case ExitCode::kSomeFailed:
      return "some_failed";
    case ExitCode::kCannotWrite:
      return "cannot_write";
    case ExitCode::kBadFile:
      return "bad_file";
    case ExitCode::kTargetHarmed:
      return "target_harmed";
    case ExitCode::kLeftBehind:
      return "left_behind";
    case ExitCode::kInternal:
      return "internal_error";
    case ExitCode::kNotStarted:
      return "not_started";
    case ExitCode::kNotExecutable:
      return "not_executable";
    case ExitCode::kNoSuchProgram:
      return "no_such_program";
  }
  return "unknown";
}

}  // namespace memsnap
