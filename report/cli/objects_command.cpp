#include <optional>
#include <string>
#include <utility>

#include "report/cli/commands.h"
#include "report/cli/object_choice.h"
#include "report/cli/option_values.h"
#include "report/cli/report_command.h"
#include "report/cli/value_types.h"
#include "report/objects_report.h"
#include "snapshot/analysis/object_list.h"
#include "snapshot/analysis/reachability.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::uint32_t kDefaultRows = 20;

ObjectSort sort_of(const std::string& word) {
  if (word == "size") return ObjectSort::kSize;
  if (word == "refs") return ObjectSort::kReferrers;
  return word == "len" ? ObjectSort::kLength : ObjectSort::kRetained;
}

BitSet both(const HeapGraph& graph, std::optional<BitSet> some, BitSet others) {
  if (!some) return others;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    if (!some->test(node)) others.clear(node);
  }
  return others;
}

ExitCode run_objects(const Invocation& invocation) {
  const po::variables_map& options = invocation.options;
  const Snapshot snapshot = load_checked(input_file(invocation), kPartsAll);
  require_objects(snapshot);
  const HeapGraph& graph = snapshot.graph;
  ObjectQuery query;
  query.sort = sort_of(option_value<std::string>(options, "sort").value_or("retained"));
  query.rows = option_value<WholeNumber>(options, "rows").value_or(WholeNumber{kDefaultRows}).value;
  query.min_bytes = option_value<ByteCount>(options, "min").value_or(ByteCount{}).value;
  query.types = wanted_types(graph, option_value<std::string>(options, "type"));
  std::optional<BitSet> among;
  std::optional<Cycles> cycles;
  if (option_flag(options, "unreachable") || option_flag(options, "cycles")) {
    BitSet unreachable = find_unreachable(graph);
    if (option_flag(options, "cycles")) cycles = find_cycles(graph, FollowedEdges(graph, unreachable));
    if (option_flag(options, "unreachable")) among = std::move(unreachable);
  }
  if (const auto base = option_value<std::string>(options, "new-since")) {
    among = both(graph, std::move(among), new_since(invocation, *base, snapshot));
  }
  query.among = among ? &*among : nullptr;
  query.cycles = cycles ? &*cycles : nullptr;
  write_report(invocation, make_objects(snapshot, list_objects(graph, query), query.cycles));
  return ExitCode::kDone;
}

}  // namespace

Command objects_command() {
  Command command;
  command.name = "objects";
  command.summary = "single objects: the largest, the most referred to, garbage, cycles, new ones";
  command.arguments = "[FILE]";
  command.description =
      "Without FILE: the newest snapshot of the default directory.\n"
      "@ is an object's number in that file, by what it retains, for memsnap inspect @1 and memsnap roots @1.\n"
      "Unreachable is what no module, thread or type leads to: garbage not yet collected, or what only C refers to.\n"
      "A cycle is objects that lead to each other. References to an object's class, and from functions to their "
      "module, are not followed, except among the unreachable.\n"
      "VALUE is what --strings kept when the snapshot was taken, and the names of functions, classes and modules.";
  auto add = command.options.add_options();
  add("type", po::value<std::string>()->value_name("T"), "only objects of type T");
  add("sort", one_of("sort", {"size", "retained", "refs", "len"}),
      "refs: objects that refer to it; len: items or entries; default retained");
  add("new-since", po::value<std::string>()->value_name("BASE"),
      "only objects that an earlier snapshot of the same process (FILE, PID@-N) does not have");
  add("unreachable", po::bool_switch(), "only what nothing named leads to");
  add("cycles", po::bool_switch(), "only members of reference cycles, the largest cycle first");
  add("min", po::value<ByteCount>()->value_name("SIZE"),
      "leave out what retains less than SIZE; with --sort size: what is smaller");
  add("rows,n", po::value<WholeNumber>()->value_name("N"), "at most so many; 0: all; default 20");
  add_report_output_options(command.options);
  command.examples = {{"memsnap objects", "what retains most, in the newest snapshot"},
                      {"memsnap objects shop.msnap --type shop.cart.Session --sort size", "the largest of a type"},
                      {"memsnap objects shop.msnap --cycles --unreachable", "garbage that waits for the collector"},
                      {"memsnap objects after.msnap --new-since before.msnap --min 1MiB", "large and new"}};
  command.exit_codes = {ExitCode::kCannotWrite, ExitCode::kBadFile};
  command.tabular = true;
  command.run = run_objects;
  return command;
}

}  // namespace memsnap
