#include <algorithm>
#include <array>
#include <optional>
#include <string>

#include "report/cli/capture.h"
#include "report/cli/commands.h"
#include "report/cli/object_choice.h"
#include "report/cli/option_values.h"
#include "report/cli/process_argument.h"
#include "report/cli/report_command.h"
#include "report/cli/value_types.h"
#include "report/inspect_report.h"
#include "snapshot/analysis/object_list.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::uint32_t kMaxDepth = 64;  // lines and JSON are nested so deep

void inspect(const Invocation& invocation, const Snapshot& snapshot, const std::string& word) {
  require_objects(snapshot);
  const po::variables_map& options = invocation.options;
  ReferenceLimits limits;
  limits.depth = std::min(option_value<WholeNumber>(options, "depth").value_or(WholeNumber{1}).value, kMaxDepth);
  limits.rows = option_value<WholeNumber>(options, "rows").value_or(WholeNumber{20}).value;
  Inspection inspection;
  inspection.node = object_of_word(snapshot.graph, word);
  inspection.rank = ranks_of(snapshot.graph, std::array{inspection.node}).front();
  inspection.whole_value = option_flag(options, "value");
  const bool only_referrers = option_flag(options, "referrers");
  const bool only_referents = option_flag(options, "referents");
  if (!only_referrers || only_referents) {
    inspection.referents = find_referents(snapshot.graph, inspection.node, limits);
  }
  if (!only_referents || only_referrers) {
    inspection.referrers = find_referrers(snapshot.graph, inspection.node, limits);
  }
  write_report(invocation, make_inspection(snapshot, inspection));
}

ExitCode run_inspect(const Invocation& invocation) {
  const ObjectWords words = object_words(invocation.arguments);
  if (!words.object) {
    throw Error(ExitCode::kUsage, "which object?",
                "an address such as 0x7f21b0c41d90, or @1: memsnap objects lists them");
  }
  if (const auto capture = look_at_process(invocation, words.files)) {
    inspect(invocation, capture->result.snapshot, *words.object);
    return verdict(*capture, invocation.log);
  }
  inspect(invocation, load_checked(input_file(invocation, words.files), kPartsAll), *words.object);
  return ExitCode::kDone;
}

}  // namespace

Command inspect_command() {
  Command command;
  command.name = "inspect";
  command.summary = "one object: value, class, what holds it, what it refers to, what refers to it";
  command.arguments = "[FILE | PID] ADDRESS | @N";
  command.description =
      "Without FILE: the newest snapshot of the default directory. With PID: the running process is held for "
      "milliseconds, a copy of it is looked at, and nothing is saved.\n"
      "@N is the N-th object of memsnap objects --sort retained of the same file.";
  auto add = command.options.add_options();
  add("referrers", po::bool_switch(), "what refers to it (with --referents: both, as without either)");
  add("referents", po::bool_switch(), "what it refers to");
  add("depth", po::value<WholeNumber>()->value_name("N"), "follow references N times; default 1, at most 64");
  add("rows,n", po::value<WholeNumber>()->value_name("N"),
      "at most so many references of one object; 0: all; default 20");
  add("value", po::bool_switch(), "all that was kept of the value, not only its beginning");
  add_look_options(command.options);
  add_report_output_options(command.options);
  command.examples = {
      {"memsnap inspect @1", "what retains most in the newest snapshot"},
      {"memsnap inspect shop.msnap 0x7f21b0c41d90 --referrers --depth 3", "who refers to it, and to those"},
      {"sudo memsnap inspect 4242 0x7f21b0c41d90 --json", "in a running process"}};
  command.exit_codes = capture_codes();
  command.exit_codes.push_back(ExitCode::kBadFile);
  command.run = run_inspect;
  return command;
}

}  // namespace memsnap
