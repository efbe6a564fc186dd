#include <fmt/format.h>

#include <optional>
#include <string>
#include <vector>

#include "report/cli/commands.h"
#include "report/cli/object_choice.h"
#include "report/cli/option_values.h"
#include "report/cli/process_argument.h"
#include "report/cli/report_command.h"
#include "report/cli/value_types.h"
#include "report/paths_dot.h"
#include "report/paths_report.h"
#include "snapshot/analysis/object_list.h"
#include "snapshot/analysis/paths.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::uint32_t kDefaultPaths = 2;

Error usage(const std::string& what, const std::string& hint) { return {ExitCode::kUsage, what, hint}; }

// The object that retains most: of one type, or of those that are new.
NodeIndex largest(const Invocation& invocation, const Snapshot& snapshot, const std::optional<std::string>& type,
                  const std::optional<std::string>& base) {
  std::optional<BitSet> among;
  if (base) among = new_since(invocation, *base, snapshot);
  const NodeIndex found = largest_object(snapshot.graph, wanted_types(snapshot.graph, type), among ? &*among : nullptr);
  if (found != kNoNode) return found;
  if (base) throw Error(ExitCode::kThreshold, fmt::format("no object is new since {}", *base), "an earlier snapshot?");
  throw usage("the snapshot has no object", "memsnap info says what is in it");
}

NodeIndex chosen(const Snapshot& snapshot, const Invocation& invocation, const std::optional<std::string>& word) {
  const auto type = option_value<std::string>(invocation.options, "type");
  const auto base = option_value<std::string>(invocation.options, "new");
  const bool wants_largest = option_flag(invocation.options, "largest");
  if ((type || base ? 1 : 0) + (wants_largest ? 1 : 0) + (word ? 1 : 0) != 1) {
    throw usage("one of ADDRESS, @N, --type, --new and --largest says which object", "memsnap help roots has examples");
  }
  return word ? object_of_word(snapshot.graph, *word) : largest(invocation, snapshot, type, base);
}

void write_dot(const Invocation& invocation, const std::string& text) {
  const auto path = option_value<std::string>(invocation.options, "output");
  if (!path) return invocation.output.write_text(text);
  Output::write_text_file(text, *path, option_flag(invocation.options, "force"));
}

ExitCode run_roots(const Invocation& invocation) {
  const bool dot = option_flag(invocation.options, "dot");
  if (dot && invocation.output.format() != Format::kText) {
    throw usage("--dot and --json exclude each other", "--json gives the same paths");
  }
  const ObjectWords words = object_words(invocation.arguments);
  const std::optional<Capture> capture = look_at_process(invocation, words.files);
  const Snapshot loaded = capture ? Snapshot() : load_checked(input_file(invocation, words.files), kPartsAll);
  const Snapshot& snapshot = capture ? capture->result.snapshot : loaded;
  require_objects(snapshot);
  const NodeIndex target = chosen(snapshot, invocation, words.object);
  PathOptions options;
  options.count = option_value<WholeNumber>(invocation.options, "paths").value_or(WholeNumber{kDefaultPaths}).value;
  options.via_weak = option_flag(invocation.options, "via-weak");
  const auto paths = find_paths(snapshot.graph, target, options);
  if (dot) {
    write_dot(invocation, paths_as_dot(snapshot, target, paths, invocation.output.style().units));
  } else {
    write_report(invocation, make_paths(snapshot, target, paths));
  }
  if (capture && !capture->result.left_behind.empty()) return verdict(*capture, invocation.log);
  return paths.empty() ? ExitCode::kThreshold : ExitCode::kDone;
}

}  // namespace

Command roots_command() {
  Command command;
  command.name = "roots";
  command.aliases = {"why"};
  command.summary = "what keeps an object alive: the shortest paths from modules, threads and types to it";
  command.arguments = "[FILE | PID] [ADDRESS | @N]";
  command.description =
      "Without FILE: the newest snapshot of the default directory. With PID: the running process, and nothing is "
      "saved.\n"
      "Each path goes through another direct holder. Weak references keep nothing alive and are followed "
      "only with --via-weak. @N is the N-th object of memsnap objects --sort retained of the same file.\n"
      "Exit code 1: no root leads to it, or nothing is new.";
  auto add = command.options.add_options();
  add("type", po::value<std::string>()->value_name("T"), "the object of type T that retains most");
  add("largest", po::bool_switch(), "the object that retains most");
  add("new", po::value<std::string>()->value_name("BASE"),
      "the object that retains most of those (of --type T) that an earlier snapshot of the process (FILE, PID@-N) "
      "does not have");
  add("paths", po::value<WholeNumber>()->value_name("N"), "at most so many paths; default 2");
  add("via-weak", po::bool_switch(), "follow weak references too");
  add("dot", po::bool_switch(), "the paths as a graph for Graphviz: memsnap roots @1 --dot | dot -Tsvg");
  add_look_options(command.options);
  add_report_output_options(command.options);
  command.examples = {{"memsnap roots shop.msnap 0x7f21b0c41d90", "one object"},
                      {"memsnap roots shop.msnap --type shop.cart.Session --paths 5", "the largest of a type"},
                      {"memsnap roots after.msnap --new before.msnap", "what keeps the largest new object"},
                      {"memsnap why shop.msnap --largest --json", "for a script"}};
  command.exit_codes = capture_codes();
  command.exit_codes.insert(command.exit_codes.begin(), ExitCode::kThreshold);
  command.exit_codes.push_back(ExitCode::kBadFile);
  command.run = run_roots;
  return command;
}

}  // namespace memsnap
