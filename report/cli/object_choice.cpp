#include "report/cli/object_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "report/cli/history.h"
#include "report/cli/report_command.h"
#include "snapshot/analysis/diff.h"
#include "snapshot/analysis/object_list.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kCollectorHeader = 16;
// Their contents follow the object itself, in one block.
constexpr std::array<std::string_view, 4> kOneBlock{"builtins.str", "builtins.bytes", "builtins.tuple", "builtins.int"};

Error usage(const std::string& what, const std::string& hint) { return {ExitCode::kUsage, what, hint}; }

std::optional<std::uint64_t> whole_number(std::string_view digits, int base) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number, base);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return number;
}

bool looks_like_object(const std::string& word) { return word.starts_with("0x") || word.starts_with('@'); }

std::string short_type(const HeapGraph& graph, NodeIndex node) {
  constexpr std::string_view kPrefix = "builtins.";
  const std::string_view type = graph.type_name(node);
  return std::string(type.starts_with(kPrefix) ? type.substr(kPrefix.size()) : type);
}

// Bytes from its address on that are the object's beyond doubt. Its size counts blocks elsewhere too.
std::uint64_t extent(const HeapGraph& graph, NodeIndex node) {
  const std::uint64_t header = (graph.flags[node] & kNodeTracked) != 0 ? kCollectorHeader : 0;
  const std::uint64_t whole = graph.size[node] - std::min(graph.size[node], header);
  const bool one_block = std::find(kOneBlock.begin(), kOneBlock.end(), graph.type_name(node)) != kOneBlock.end();
  return one_block ? whole : std::min<std::uint64_t>(graph.types[graph.type[node]].basic_size, whole);
}

std::string neighbourhood(const HeapGraph& graph, std::uint64_t address) {
  const auto above = std::upper_bound(graph.address.begin(), graph.address.end(), address);
  const auto next = static_cast<NodeIndex>(above - graph.address.begin());
  if (above != graph.address.end() && *above - address <= kCollectorHeader && (graph.flags[next] & kNodeTracked) != 0) {
    return fmt::format("{:#x} lies in the collector's header of the {} at {:#x}, -{}", address, short_type(graph, next),
                       *above, *above - address);
  }
  if (above == graph.address.begin()) return "memsnap objects lists the objects";
  const NodeIndex before = next - 1;
  const std::uint64_t offset = address - graph.address[before];
  const std::string_view where = offset < extent(graph, before) ? "lies inside" : "is no object's; before it is";
  return fmt::format("{:#x} {} the {} at {:#x}, +{}", address, where, short_type(graph, before), graph.address[before],
                     offset);
}

}  // namespace

ObjectWords object_words(const std::vector<std::string>& arguments) {
  ObjectWords words{arguments, std::nullopt};
  if (arguments.size() > 1 || (arguments.size() == 1 && looks_like_object(arguments.back()))) {
    words.object = arguments.back();
    words.files.pop_back();
  }
  return words;
}

NodeIndex object_of_word(const HeapGraph& graph, const std::string& word) {
  const std::string_view text = word;
  if (text.starts_with('@')) {
    const auto rank = whole_number(text.substr(1), 10);
    if (!rank || *rank == 0) throw usage(fmt::format("'{}' is no object's number", word), "@1 is the first");
    const NodeIndex node = object_of_rank(graph, *rank);
    if (node != kNoNode) return node;
    throw usage(fmt::format("there is no object {}", word), "memsnap objects lists them");
  }
  const auto address = whole_number(text.substr(text.starts_with("0x") ? 2 : 0), 16);
  if (!address) {
    throw usage(fmt::format("'{}' is no address", word), "addresses are hexadecimal, such as 0x7f21b0c41d90");
  }
  const NodeIndex node = graph.find(*address);
  if (node != kNoNode) return node;
  throw usage(fmt::format("{:#x} is no object of the snapshot", *address), neighbourhood(graph, *address));
}

std::vector<bool> wanted_types(const HeapGraph& graph, const std::optional<std::string>& type) {
  if (!type) return {};
  std::vector<bool> named = types_named(graph, *type);
  for (TypeId id = 0; id < named.size(); ++id) {
    if (named[id] && graph.types[id].count != 0) return named;
  }
  throw usage(fmt::format("no object of type {} is in the snapshot", *type),
              "memsnap summary --by type -n 0 lists the types");
}

void require_objects(const Snapshot& snapshot) {
  if (snapshot.header.kind != SnapshotKind::kHeap) {
    throw usage("this snapshot has types only: there are no single objects in it",
                "take one with --kind heap (the default)");
  }
  if (snapshot.graph.retained.size() != snapshot.graph.node_count()) {
    throw Error(ExitCode::kBadFile, "this snapshot was saved without its analysis", "take it again");
  }
}

BitSet new_since(const Invocation& invocation, const std::string& word, const Snapshot& after) {
  const std::string base = snapshot_named(word, directory_of_snapshots(invocation.options));
  const Snapshot before = load_checked(base, kPartTypes | kPartNodes | kPartAddresses | kPartTexts);
  if (before.header.kind != SnapshotKind::kHeap) {
    throw usage(fmt::format("{} has types only: there are no single objects in it", base),
                "take one with --kind heap (the default)");
  }
  if (!same_process(before.header.target, after.header.target)) {
    throw usage(fmt::format("{} is of another process: which objects are new cannot be told", base),
                "memsnap diff compares their types");
  }
  return added_objects(before.graph, after.graph);
}

}  // namespace memsnap
