#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>

#include "snapshot/store/container_layout.h"
#include "snapshot/store/graph_columns.h"
#include "snapshot/store/parts.h"
#include "snapshot/store/predictors.h"
#include "snapshot/store/profile_parts.h"
#include "snapshot/store/value_stream.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMost32 = std::numeric_limits<std::uint32_t>::max();
constexpr std::size_t kTypeValues = 7;
constexpr std::size_t kRootValues = 3;
// More than this is allocated only as the file turns out to hold it.
constexpr std::uint64_t kMaxReserved = 1u << 26;

const PartEntry& part_of(ContainerReader& in, std::uint32_t id) {
  const PartEntry* part = in.find(id);
  if (part == nullptr) in.throw_damaged("part \"" + part_name(id) + "\" is missing");
  if (part->items >= kMost32) in.throw_damaged(id);
  return *part;
}

// A column with one value for each node.
const PartEntry& node_part(ContainerReader& in, std::uint32_t id, const HeapGraph& graph) {
  const PartEntry& part = part_of(in, id);
  if (part.items != graph.node_count()) in.throw_damaged(id);
  return part;
}

std::uint64_t node_count_of(ContainerReader& in) {
  return in.find(kPartIdType) == nullptr ? 0 : part_of(in, kPartIdType).items;
}

template <typename T>
std::vector<T> reserved(std::uint64_t items) {
  std::vector<T> column;
  column.reserve(std::min(items, kMaxReserved));
  return column;
}

std::uint64_t moved(std::uint64_t from, std::uint64_t by) { return from + static_cast<std::uint64_t>(unzigzag(by)); }

std::vector<StringId> read_type_names(ContainerReader& in, std::uint64_t types, StringTable& strings) {
  const PartEntry& part = part_of(in, kPartIdTypeNames);
  const auto bytes = in.read_bytes(part, kMost32);
  std::vector<StringId> names;
  std::size_t at = 0;
  while (names.size() < types) {
    if (bytes.size() - at < 4) in.throw_damaged(kPartIdTypeNames);
    const auto length = load<std::uint32_t>(&bytes[at]);
    at += 4;
    if (length > bytes.size() - at) in.throw_damaged(kPartIdTypeNames);
    names.push_back(strings.add({reinterpret_cast<const char*>(bytes.data() + at), length}));
    at += length;
  }
  if (at != bytes.size()) in.throw_damaged(kPartIdTypeNames);
  return names;
}

}  // namespace

void read_types(ContainerReader& in, HeapGraph& graph, bool with_strings) {
  ValueReader values(in, part_of(in, kPartIdTypes));
  if (values.items() % kTypeValues != 0) values.throw_damaged();
  const std::uint64_t count = values.items() / kTypeValues;
  const std::uint64_t nodes = node_count_of(in);
  std::vector<StringId> names;
  if (!with_strings) names = read_type_names(in, count, graph.strings);
  graph.types = reserved<TypeEntry>(count);
  std::uint64_t address = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    TypeEntry type;
    const std::uint64_t name = values.get_up_to(kMost32);
    if (with_strings && name >= graph.strings.size()) values.throw_damaged();
    type.name = with_strings ? static_cast<StringId>(name) : names[i];
    address = type.address = moved(address, values.get());
    const std::uint64_t node = values.get_up_to(nodes);
    type.node = node == 0 ? kNoNode : static_cast<NodeIndex>(node - 1);
    type.basic_size = static_cast<std::uint32_t>(values.get_up_to(kMost32));
    type.count = values.get();
    type.size = values.get();
    type.retained = values.get();
    graph.types.push_back(type);
  }
  values.finish();
  if (in.find(kPartIdTypeNative) == nullptr) return;
  ValueReader native(in, part_of(in, kPartIdTypeNative));
  if (native.items() != count) native.throw_damaged();
  for (TypeEntry& type : graph.types) type.native = native.get();
  native.finish();
}

void read_strings(ContainerReader& in, HeapGraph& graph) {
  ValueReader lengths(in, part_of(in, kPartIdStringLengths));
  auto begin = reserved<std::uint32_t>(lengths.items() + 1);
  begin.push_back(0);
  for (std::uint64_t i = 0; i < lengths.items(); ++i) {
    begin.push_back(begin.back() + static_cast<std::uint32_t>(lengths.get_up_to(kMost32 - begin.back())));
  }
  lengths.finish();
  const PartEntry& part = part_of(in, kPartIdStringBytes);
  if (part.raw != begin.back()) in.throw_damaged(kPartIdStringBytes);
  std::string text;
  ContainerReader::Blocks blocks(in, part);
  for (auto block = blocks.next(); !block.empty(); block = blocks.next()) {
    text.append(reinterpret_cast<const char*>(block.data()), block.size());
  }
  try {
    graph.strings = StringTable(std::move(text), std::move(begin));
  } catch (const std::invalid_argument&) {
    in.throw_damaged(kPartIdStringLengths);
  }
}

void read_nodes(ContainerReader& in, HeapGraph& graph) {
  ValueReader types(in, part_of(in, kPartIdType));
  graph.type = reserved<TypeId>(types.items());
  TypePredictor next_type;
  for (std::uint64_t i = 0; i < types.items(); ++i) {
    const std::uint64_t value = types.get_up_to(graph.types.size());
    const TypeId type = value == 0 ? next_type.predict() : static_cast<TypeId>(value - 1);
    if (type >= graph.types.size()) types.throw_damaged();
    graph.type.push_back(type);
    next_type.learn(type);
  }
  types.finish();

  ValueReader sizes(in, node_part(in, kPartIdSize, graph));
  graph.size = reserved<std::uint64_t>(sizes.items());
  LastOfType last(graph.types.size());
  for (const TypeId type : graph.type) {
    graph.size.push_back(moved(last.predict(type), sizes.get()));
    last.learn(type, graph.size.back());
  }
  sizes.finish();

  ValueReader flags(in, node_part(in, kPartIdFlags, graph));
  graph.flags = reserved<std::uint8_t>(flags.items());
  LastOfType last_flags(graph.types.size());
  for (const TypeId type : graph.type) {
    graph.flags.push_back(static_cast<std::uint8_t>(flags.get_up_to(0xff) ^ last_flags.predict(type)));
    last_flags.learn(type, graph.flags.back());
  }
  flags.finish();
}

void read_roots(ContainerReader& in, HeapGraph& graph) {
  ValueReader values(in, part_of(in, kPartIdRoots));
  if (values.items() % kRootValues != 0) values.throw_damaged();
  for (std::uint64_t i = 0; i < values.items() / kRootValues; ++i) {
    Root root;
    root.kind = static_cast<RootKind>(values.get_up_to(static_cast<std::uint64_t>(RootKind::kUnknown)));
    root.node = static_cast<NodeIndex>(values.get_up_to(kMost32));
    root.name = static_cast<StringId>(values.get_up_to(kMost32));
    if (root.node >= graph.node_count() || root.name >= graph.strings.size()) values.throw_damaged();
    graph.roots.push_back(root);
  }
  values.finish();
}

void read_addresses(ContainerReader& in, HeapGraph& graph) {
  const PartEntry& part = part_of(in, kPartIdAddress);
  if (part.items != graph.node_count() + 1) in.throw_damaged(kPartIdAddress);
  ValueReader values(in, part);
  const auto shift = static_cast<unsigned>(values.get_up_to(3));
  graph.address = reserved<std::uint64_t>(graph.node_count());
  StepPredictor steps;
  std::uint64_t address = 0;
  for (std::size_t i = 0; i < graph.node_count(); ++i) {
    std::uint64_t& last = i == 0 ? steps.last_step(0, 0) : steps.last_step(graph.type[i - 1], graph.size[i - 1]);
    last = moved(last, values.get());
    if ((last == 0 && i > 0) || last > (~std::uint64_t{0} >> shift) - address) values.throw_damaged();
    address += last;
    graph.address.push_back(address << shift);
  }
  values.finish();
}

void read_edges(ContainerReader& in, HeapGraph& graph) {
  ValueReader degrees(in, node_part(in, kPartIdDegree, graph));
  ValueReader labels(in, part_of(in, kPartIdLabel));
  graph.edge_begin = reserved<std::uint32_t>(graph.node_count() + 1);
  graph.edge_begin.push_back(0);
  LastOfType last(graph.types.size());
  for (const TypeId type : graph.type) {
    const std::uint64_t degree = moved(last.predict(type), degrees.get());
    if (degree > labels.items() - graph.edge_begin.back()) degrees.throw_damaged();
    last.learn(type, degree);
    graph.edge_begin.push_back(graph.edge_begin.back() + static_cast<std::uint32_t>(degree));
  }
  degrees.finish();
  if (graph.edge_begin.back() != labels.items()) degrees.throw_damaged();

  graph.edge_label = reserved<EdgeLabel>(labels.items());
  LabelPredictor next_label;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    std::uint32_t previous = 0;
    for (std::uint32_t edge = graph.edge_begin[node]; edge < graph.edge_begin[node + 1]; ++edge) {
      std::uint32_t& next = next_label.next(graph.type[node], previous);
      const std::uint64_t value = labels.get_up_to(std::uint64_t{1} << 32);
      EdgeLabel label{next};
      if (value != 0) label.bits = static_cast<std::uint32_t>((value - 1) >> 5 | (value - 1) << 27);
      if (label.kind() > Label::kStack || (label.has_node() && label.payload() >= graph.node_count())) {
        labels.throw_damaged();
      }
      previous = next = label.bits;
      graph.edge_label.push_back(label);
    }
  }
  labels.finish();

  ValueReader targets(in, part_of(in, kPartIdTarget));
  if (targets.items() != labels.items()) targets.throw_damaged();
  graph.edge_target = reserved<NodeIndex>(targets.items());
  TargetPredictor predictor;
  const auto nodes = static_cast<std::int64_t>(graph.node_count());
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    const std::uint32_t begin = graph.edge_begin[node];
    for (std::uint32_t edge = begin; edge < graph.edge_begin[node + 1]; ++edge) {
      auto& context = predictor.at(graph.type[node], graph.edge_label[edge], edge - begin);
      const std::int64_t target = TargetPredictor::decode(context, node, targets.get_up_to(kMost32 * 8));
      if (target < 0 || target >= nodes) targets.throw_damaged();
      graph.edge_target.push_back(static_cast<NodeIndex>(target));
    }
  }
  targets.finish();
}

void read_dominators(ContainerReader& in, HeapGraph& graph) {
  {
    ValueReader values(in, node_part(in, kPartIdDominator, graph));
    const DominatorPredictor predictor(graph);
    graph.dominator = reserved<NodeIndex>(values.items());
    for (NodeIndex node = 0; node < graph.node_count(); ++node) {
      const std::int64_t above = predictor.decode(graph.dominator, node, values.get_up_to(kMost32 * 8));
      const bool is_none = above == std::int64_t{kNoNode};
      if (!is_none && (above < 0 || above == node || above >= static_cast<std::int64_t>(graph.node_count()))) {
        values.throw_damaged();
      }
      graph.dominator.push_back(static_cast<NodeIndex>(above));
    }
    values.finish();
  }
  ValueReader values(in, node_part(in, kPartIdRetained, graph));
  graph.retained = reserved<std::uint64_t>(values.items());
  for (const std::uint64_t size : graph.size) graph.retained.push_back(moved(size, values.get()));
  values.finish();
}

void read_texts(ContainerReader& in, HeapGraph& graph) {
  const auto read = [&](std::uint32_t id, auto add) {
    ValueReader values(in, part_of(in, id));
    if (values.items() % 2 != 0) values.throw_damaged();
    std::uint64_t node = 0;
    for (std::uint64_t i = 0; i < values.items() / 2; ++i) {
      const std::uint64_t step = values.get_up_to(kMost32);
      node += step;
      if (node >= graph.node_count() || (step == 0 && i > 0)) values.throw_damaged();
      if (!add(static_cast<NodeIndex>(node), values.get())) values.throw_damaged();
    }
    values.finish();
  };
  std::uint64_t next = 0;
  read(kPartIdText, [&](NodeIndex node, std::uint64_t value) {
    const std::uint64_t id = moved(next, value);
    if (id >= graph.strings.size()) return false;
    graph.text_node.push_back(node);
    graph.text.push_back(static_cast<StringId>(id));
    next = id + 1;
    return true;
  });
  read(kPartIdTextHash, [&](NodeIndex node, std::uint64_t hash) {
    graph.hash_node.push_back(node);
    graph.text_hash.push_back(static_cast<std::uint32_t>(hash));
    return hash <= kMost32;
  });
}

void read_sites(ContainerReader& in, HeapGraph& graph) {
  ValueReader sites(in, node_part(in, kPartIdSite, graph));
  const PartEntry* const rows = in.find(kPartIdProfileRows);
  const std::uint64_t most = rows == nullptr ? 0 : rows->items / kProfileRowValues;
  LastOfType last(graph.types.size());
  graph.site = reserved<std::uint32_t>(graph.node_count());
  for (const TypeId type : graph.type) {
    const std::uint64_t site = moved(last.predict(type), sites.get());
    if (site > most) sites.throw_damaged();
    last.learn(type, site);
    graph.site.push_back(static_cast<std::uint32_t>(site));
  }
  sites.finish();
}

}  // namespace memsnap
