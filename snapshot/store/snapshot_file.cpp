#include "snapshot/store/snapshot_file.h"

#include <fmt/format.h>

#include <array>
#include <new>
#include <stdexcept>

#include "attach/base/error.h"
#include "snapshot/store/container.h"
#include "snapshot/store/graph_columns.h"
#include "snapshot/store/header_json.h"
#include "snapshot/store/parts.h"
#include "snapshot/store/profile_parts.h"
#include "snapshot/store/thread_parts.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMaxHeader = 16u << 20;

constexpr std::array<std::string_view, 29> kPartNames{"",
                                                      "header",
                                                      "type names",
                                                      "types",
                                                      "roots",
                                                      "string lengths",
                                                      "string bytes",
                                                      "type",
                                                      "size",
                                                      "flags",
                                                      "address",
                                                      "degree",
                                                      "label",
                                                      "target",
                                                      "dominator",
                                                      "retained",
                                                      "text",
                                                      "text hash",
                                                      "threads",
                                                      "thread texts",
                                                      "type native",
                                                      "profile",
                                                      "profile texts",
                                                      "profile frames",
                                                      "profile calls",
                                                      "profile rows",
                                                      "profile slices",
                                                      "profile changes",
                                                      "allocation site"};

SnapshotHeader read_header(ContainerReader& in) {
  for (const PartEntry& part : in.parts()) {
    if ((part.flags & kPartRequired) == 0 || part.id < kPartNames.size()) continue;
    throw Error(ExitCode::kBadFile,
                fmt::format("the file needs a part (number {}) that this memsnap does not know", part.id),
                "read it with a newer memsnap");
  }
  const PartEntry* part = in.find(kPartIdHeader);
  if (part == nullptr) in.throw_damaged("part \"header\" is missing");
  const auto bytes = in.read_bytes(*part, kMaxHeader);
  auto header = header_from_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!header) in.throw_damaged(kPartIdHeader);
  return std::move(*header);
}

// Parts that others are told by.
Parts with_dependencies(Parts wanted) {
  if ((wanted & kPartDominators) != 0) wanted |= kPartEdges;
  if ((wanted & (kPartEdges | kPartAddresses | kPartRoots | kPartTexts | kPartSites)) != 0) wanted |= kPartNodes;
  if ((wanted & kPartNodes) != 0) wanted |= kPartTypes;
  if ((wanted & (kPartEdges | kPartRoots | kPartTexts)) != 0) wanted |= kPartStrings;  // labels and roots name strings
  return wanted;
}

void read_graph(ContainerReader& in, Parts wanted, HeapGraph& graph) {
  struct Step {
    Parts part;
    std::uint32_t id;  // when the file does not have it the step is left out
    void (*read)(ContainerReader&, HeapGraph&);
    bool of_all_nodes = false;  // it is there wherever nodes are
  };
  const bool all_strings = (wanted & kPartStrings) != 0;
  if (all_strings) read_strings(in, graph);
  if ((wanted & kPartTypes) != 0) read_types(in, graph, all_strings);
  for (const Step& step :
       {Step{kPartNodes, kPartIdType, read_nodes}, Step{kPartRoots, kPartIdRoots, read_roots},
        Step{kPartAddresses, kPartIdAddress, read_addresses, true}, Step{kPartEdges, kPartIdDegree, read_edges, true},
        Step{kPartDominators, kPartIdDominator, read_dominators}, Step{kPartTexts, kPartIdText, read_texts},
        Step{kPartSites, kPartIdSite, read_sites}}) {
    if ((wanted & step.part) == 0) continue;
    const bool there = in.find(step.id) != nullptr;
    if (there) step.read(in, graph);
    if (!there && step.of_all_nodes && graph.node_count() != 0) in.throw_damaged(step.id);
  }
}

void check_columns(const HeapGraph& graph) {
  const std::size_t nodes = graph.node_count();
  const bool analysed = !graph.dominator.empty();
  bool fits = graph.address.size() == nodes && graph.size.size() == nodes && graph.flags.size() == nodes &&
              graph.edge_begin.size() == nodes + (nodes != 0 || !graph.edge_begin.empty() ? 1 : 0) &&
              graph.edge_label.size() == graph.edge_count() && graph.text.size() == graph.text_node.size() &&
              graph.text_hash.size() == graph.hash_node.size() && (graph.site.empty() || graph.site.size() == nodes) &&
              (!analysed || (graph.dominator.size() == nodes && graph.retained.size() == nodes));
  for (const TypeId type : graph.type) fits &= type < graph.types.size();
  if (!fits) throw std::invalid_argument("the graph's columns do not fit together");
}

void check_profile(const Snapshot& snapshot) {
  const std::uint64_t rows = snapshot.profile ? snapshot.profile->row_count() : 0;
  bool fits = !snapshot.profile || is_consistent(*snapshot.profile);
  for (const std::uint32_t site : snapshot.graph.site) fits &= site <= rows;
  if (!fits) throw std::invalid_argument("the allocation profile does not fit together");
}

bool has_types(SnapshotKind kind) { return kind == SnapshotKind::kHeap || kind == SnapshotKind::kTypes; }

}  // namespace

std::string part_name(std::uint32_t id) {
  return id > 0 && id < kPartNames.size() ? std::string(kPartNames[id]) : fmt::format("number {}", id);
}

std::uint64_t save_snapshot(const Snapshot& snapshot, const std::filesystem::path& path, const SaveOptions& options) {
  const HeapGraph& graph = snapshot.graph;
  check_columns(graph);
  check_profile(snapshot);
  ContainerWriter out(path, options.force, options.level);
  const std::string header = header_to_json(snapshot.header);
  out.begin_part(kPartIdHeader);
  out.bytes({reinterpret_cast<const std::uint8_t*>(header.data()), header.size()});
  out.end_part(1);
  const bool objects = has_types(snapshot.header.kind);
  if (objects) write_types(out, graph);
  if (objects) write_strings(out, graph.strings);
  if (snapshot.header.kind == SnapshotKind::kHeap && !graph.edge_begin.empty()) {
    write_roots(out, graph);
    write_nodes(out, graph);
    write_addresses(out, graph);
    write_edges(out, graph);
    if (!graph.dominator.empty()) write_dominators(out, graph);
    write_texts(out, graph);
    if (!graph.site.empty()) write_sites(out, graph);
  }
  if (snapshot.threads) write_threads(out, *snapshot.threads);
  // A memsnap that does not know profiles can do nothing with a file that has nothing else.
  if (snapshot.profile) write_profile(out, *snapshot.profile, snapshot.header.kind == SnapshotKind::kAllocations);
  return out.finish();
}

Snapshot load_snapshot(const std::filesystem::path& path, Parts wanted) {
  ContainerReader in(path);
  try {
    Snapshot snapshot;
    snapshot.header = read_header(in);
    if (has_types(snapshot.header.kind)) {
      read_graph(in, with_dependencies(wanted), snapshot.graph);
    }
    if ((wanted & kPartThreads) != 0 && in.find(kPartIdThreads) != nullptr) snapshot.threads = read_threads(in);
    if ((wanted & kPartProfile) != 0 && in.find(kPartIdProfile) != nullptr) snapshot.profile = read_profile(in);
    return snapshot;
  } catch (const std::bad_alloc&) {
    throw Error(ExitCode::kBadFile, fmt::format("{} needs more memory than there is", path.string()),
                "read it on a machine with more memory, or use `memsnap summary`, which needs little");
  }
}

SnapshotInfo inspect_snapshot(const std::filesystem::path& path) {
  ContainerReader in(path);
  SnapshotInfo info;
  info.header = read_header(in);
  info.format_version = in.version();
  info.file_size = in.file_size();
  for (const PartEntry& part : in.parts()) {
    info.parts.push_back({.name = part_name(part.id),
                          .items = part.items,
                          .stored = part.stored,
                          .raw = part.raw,
                          .known = part.id < kPartNames.size(),
                          .intact = in.is_intact(part)});
    info.intact &= info.parts.back().intact;
  }
  return info;
}

}  // namespace memsnap
