#include "report/cli/plan.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "report/cli/capture.h"
#include "report/cli/doctor_checks.h"
#include "report/cli/files.h"
#include "report/cli/option_values.h"
#include "report/cli/report_command.h"

namespace memsnap {
namespace {

void append(std::vector<Check>& checks, std::vector<Check> more) {
  checks.insert(checks.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

}  // namespace

ExitCode write_plan(const Invocation& invocation, const Candidate& target, const std::string& path) {
  const std::string method = option_value<std::string>(invocation.options, "method").value_or("auto");
  Diagnosis plan;
  plan.schema = "memsnap.plan/1";
  plan.pid = target.pid;
  plan.file = path;
  plan.checks = check_machine().checks;
  DoctorResult process =
      check_process(target.pid, path.empty() ? directory_of_snapshots(invocation.options) : folder_of(path),
                    freeze_options(invocation.options));
  append(plan.checks, std::move(process.checks));
  plan.works = process.code == ExitCode::kDone;
  const std::string how = method == "read"   ? "read while it runs (not consistent)"
                          : method == "stop" ? "stop it, copy its memory, let it go, walk the copy"
                                             : "stop it, fork a copy-on-write child, let it go, walk the child, end it";
  plan.conclusion = fmt::format("{}: {}; {}. Nothing was touched.", plan.works ? "would" : "would not work, it would",
                                how, path.empty() ? "print only" : "write " + path);
  const Report report = make_diagnosis(plan, true);
  invocation.output.write_one(report);
  return process.code;
}

}  // namespace memsnap
