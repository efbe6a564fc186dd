#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "report/cli/commands.h"
#include "report/cli/option_values.h"
#include "report/cli/report_command.h"
#include "report/cli/value_types.h"
#include "report/paths_report.h"
#include "snapshot/analysis/paths.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::uint32_t kDefaultPaths = 2;

Error usage(const std::string& what, const std::string& hint) { return Error(ExitCode::kUsage, what, hint); }

std::uint64_t parse_address(std::string_view text) {
  std::uint64_t address = 0;
  const std::string_view digits = text.substr(text.substr(0, 2) == "0x" ? 2 : 0);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), address, 16);
  if (error != std::errc() || end != digits.data() + digits.size()) {
    throw usage(fmt::format("'{}' is no address", text), "addresses are hexadecimal, such as 0x7f21b0c41d90");
  }
  return address;
}

// The object that retains most, of one type when `type` is given.
NodeIndex largest(const HeapGraph& graph, const std::optional<std::string>& type) {
  NodeIndex found = kNoNode;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    if ((graph.flags[node] & kNodeSynthetic) != 0) continue;
    if (found != kNoNode && graph.retained[node] <= graph.retained[found]) continue;
    if (!type || graph.type_name(node) == *type || graph.type_name(node) == "builtins." + *type) found = node;
  }
  if (found != kNoNode) return found;
  throw usage(type ? fmt::format("no object of type {} is in the snapshot", *type) : "the snapshot has no object",
              "memsnap summary --by type -n 0 lists the types");
}

NodeIndex chosen(const HeapGraph& graph, const Invocation& invocation, const std::optional<std::string>& word) {
  const auto type = option_value<std::string>(invocation.options, "type");
  const bool wants_largest = option_flag(invocation.options, "largest");
  if ((type ? 1 : 0) + (wants_largest ? 1 : 0) + (word ? 1 : 0) != 1) {
    throw usage("one of ADDRESS, --type and --largest says which object", "memsnap help roots has examples");
  }
  if (!word) return largest(graph, type);
  const std::uint64_t address = parse_address(*word);
  const NodeIndex node = graph.find(address);
  if (node != kNoNode) return node;
  throw usage(fmt::format("{:#x} is no object of the snapshot", address), "--type T takes the largest of a type");
}

ExitCode run_roots(const Invocation& invocation) {
  std::vector<std::string> files = invocation.arguments;
  std::optional<std::string> address;
  if (files.size() > 1 || (files.size() == 1 && files.back().starts_with("0x"))) {
    address = files.back();
    files.pop_back();
  }
  const Snapshot snapshot = load_checked(input_file(files), kPartsAll);
  if (snapshot.header.kind != SnapshotKind::kHeap) {
    throw usage("this snapshot has types only: there are no references in it",
                "take one with --kind heap (the default)");
  }
  if (snapshot.graph.retained.size() != snapshot.graph.node_count()) {
    throw Error(ExitCode::kBadFile, "this snapshot was saved without its analysis", "take it again");
  }
  const NodeIndex target = chosen(snapshot.graph, invocation, address);
  PathOptions options;
  options.count = option_value<WholeNumber>(invocation.options, "paths").value_or(WholeNumber{kDefaultPaths}).value;
  options.via_weak = option_flag(invocation.options, "via-weak");
  const auto paths = find_paths(snapshot.graph, target, options);
  write_report(invocation, make_paths(snapshot, target, paths));
  return paths.empty() ? ExitCode::kThreshold : ExitCode::kDone;
}

}  // namespace

Command roots_command() {
  Command command;
  command.name = "roots";
  command.aliases = {"why"};
  command.summary = "what keeps an object alive: the shortest paths from modules, threads and types to it";
  command.arguments = "[FILE] [ADDRESS]";
  command.description =
      "Without FILE: the newest snapshot of the default directory.\n"
      "Each path goes through another direct holder. Weak references keep nothing alive and are followed\n"
      "only with --via-weak. Exit code 1: no root leads to it.";
  auto add = command.options.add_options();
  add("type", po::value<std::string>()->value_name("T"), "the object of type T that retains most");
  add("largest", po::bool_switch(), "the object that retains most");
  add("paths", po::value<WholeNumber>()->value_name("N"), "at most so many paths; default 2");
  add("via-weak", po::bool_switch(), "follow weak references too");
  add_report_output_options(command.options);
  command.examples = {{"memsnap roots shop.msnap 0x7f21b0c41d90", "one object"},
                      {"memsnap roots shop.msnap --type shop.cart.Session --paths 5", "the largest of a type"},
                      {"memsnap why shop.msnap --largest --json", "for a script"}};
  command.exit_codes = {ExitCode::kThreshold, ExitCode::kCannotWrite, ExitCode::kBadFile};
  command.run = run_roots;
  return command;
}

}  // namespace memsnap
