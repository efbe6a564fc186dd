#include <algorithm>

#include "snapshot/store/container_layout.h"
#include "snapshot/store/graph_columns.h"
#include "snapshot/store/parts.h"
#include "snapshot/store/predictors.h"
#include "snapshot/store/value_stream.h"

namespace memsnap {
namespace {

std::span<const std::uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

std::int64_t difference(std::uint64_t value, std::uint64_t from) { return static_cast<std::int64_t>(value - from); }

}  // namespace

void write_types(ContainerWriter& out, const HeapGraph& graph) {
  LittleEndian names;
  for (const TypeEntry& type : graph.types) {
    const std::string_view name = graph.strings.text(type.name);
    names.put32(static_cast<std::uint32_t>(name.size()));
    names.bytes.insert(names.bytes.end(), name.begin(), name.end());
  }
  out.begin_part(kPartIdTypeNames);
  out.bytes(names.bytes);
  out.end_part(graph.types.size());

  ValueWriter values(out, kPartIdTypes);
  std::uint64_t address = 0;
  for (const TypeEntry& type : graph.types) {
    values.put(type.name);
    values.put(zigzag(difference(type.address, address)));
    values.put(type.node == kNoNode ? 0 : std::uint64_t{type.node} + 1);
    values.put(type.basic_size);
    values.put(type.count);
    values.put(type.size);
    values.put(type.retained);
    address = type.address;
  }
  values.finish();

  if (std::none_of(graph.types.begin(), graph.types.end(), [](const auto& type) { return type.native != 0; })) return;
  ValueWriter native(out, kPartIdTypeNative);
  for (const TypeEntry& type : graph.types) native.put(type.native);
  native.finish();
}

void write_strings(ContainerWriter& out, const StringTable& strings) {
  ValueWriter lengths(out, kPartIdStringLengths);
  for (StringId id = 0; id < strings.size(); ++id) lengths.put(strings.text(id).size());
  lengths.finish();
  out.begin_part(kPartIdStringBytes);
  out.bytes(bytes_of(strings.buffer()));
  out.end_part(strings.size());
}

void write_roots(ContainerWriter& out, const HeapGraph& graph) {
  ValueWriter values(out, kPartIdRoots);
  for (const Root& root : graph.roots) {
    values.put(static_cast<std::uint64_t>(root.kind));
    values.put(root.node);
    values.put(root.name);
  }
  values.finish();
}

void write_nodes(ContainerWriter& out, const HeapGraph& graph) {
  ValueWriter types(out, kPartIdType);
  TypePredictor next_type;
  for (const TypeId type : graph.type) {
    types.put(type == next_type.predict() ? 0 : std::uint64_t{type} + 1);
    next_type.learn(type);
  }
  types.finish();

  ValueWriter sizes(out, kPartIdSize);
  LastOfType last(graph.types.size());
  for (std::size_t i = 0; i < graph.size.size(); ++i) {
    sizes.put(zigzag(difference(graph.size[i], last.predict(graph.type[i]))));
    last.learn(graph.type[i], graph.size[i]);
  }
  sizes.finish();

  ValueWriter flags(out, kPartIdFlags);
  LastOfType last_flags(graph.types.size());
  for (std::size_t i = 0; i < graph.flags.size(); ++i) {
    flags.put(graph.flags[i] ^ last_flags.predict(graph.type[i]));
    last_flags.learn(graph.type[i], graph.flags[i]);
  }
  flags.finish();
}

void write_addresses(ContainerWriter& out, const HeapGraph& graph) {
  ValueWriter values(out, kPartIdAddress);
  std::uint64_t all = 0;
  for (const std::uint64_t address : graph.address) all |= address;
  const unsigned shift = all % 8 == 0 ? 3 : 0;
  values.put(shift);
  StepPredictor steps;
  std::uint64_t previous = 0;
  for (std::size_t i = 0; i < graph.address.size(); ++i) {
    const std::uint64_t address = graph.address[i] >> shift;
    const std::uint64_t step = address - previous;
    std::uint64_t& last = i == 0 ? steps.last_step(0, 0) : steps.last_step(graph.type[i - 1], graph.size[i - 1]);
    values.put(zigzag(difference(step, last)));
    last = step;
    previous = address;
  }
  values.finish();
}

void write_edges(ContainerWriter& out, const HeapGraph& graph) {
  ValueWriter degrees(out, kPartIdDegree);
  LastOfType last(graph.types.size());
  for (std::size_t i = 0; i < graph.node_count(); ++i) {
    const std::uint64_t degree = graph.edge_begin[i + 1] - graph.edge_begin[i];
    degrees.put(zigzag(difference(degree, last.predict(graph.type[i]))));
    last.learn(graph.type[i], degree);
  }
  degrees.finish();

  ValueWriter labels(out, kPartIdLabel);
  LabelPredictor next_label;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    std::uint32_t previous = 0;
    for (const EdgeLabel label : graph.labels(node)) {
      std::uint32_t& next = next_label.next(graph.type[node], previous);
      // Kind and form below the name, so that labels without a name are small numbers.
      labels.put(label.bits == next ? 0 : 1 + (std::uint64_t{label.payload()} << 5 | label.bits >> 27));
      previous = next = label.bits;
    }
  }
  labels.finish();

  ValueWriter targets(out, kPartIdTarget);
  TargetPredictor predictor;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    const std::uint32_t begin = graph.edge_begin[node];
    for (std::uint32_t edge = begin; edge < graph.edge_begin[node + 1]; ++edge) {
      auto& context = predictor.at(graph.type[node], graph.edge_label[edge], edge - begin);
      targets.put(TargetPredictor::encode(context, node, graph.edge_target[edge]));
    }
  }
  targets.finish();
}

void write_dominators(ContainerWriter& out, const HeapGraph& graph) {
  {
    ValueWriter dominators(out, kPartIdDominator);
    const DominatorPredictor predictor(graph);
    for (NodeIndex node = 0; node < graph.node_count(); ++node) dominators.put(predictor.encode(graph.dominator, node));
    dominators.finish();
  }
  ValueWriter retained(out, kPartIdRetained);
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    retained.put(zigzag(difference(graph.retained[node], graph.size[node])));
  }
  retained.finish();
}

void write_texts(ContainerWriter& out, const HeapGraph& graph) {
  ValueWriter texts(out, kPartIdText);
  std::uint64_t node = 0;
  std::uint64_t id = 0;
  for (std::size_t i = 0; i < graph.text_node.size(); ++i) {
    texts.put(graph.text_node[i] - node);
    texts.put(zigzag(difference(graph.text[i], id)));
    node = graph.text_node[i];
    id = graph.text[i] + 1;
  }
  texts.finish();

  ValueWriter hashes(out, kPartIdTextHash);
  node = 0;
  for (std::size_t i = 0; i < graph.hash_node.size(); ++i) {
    hashes.put(graph.hash_node[i] - node);
    hashes.put(graph.text_hash[i]);
    node = graph.hash_node[i];
  }
  hashes.finish();
}

void write_sites(ContainerWriter& out, const HeapGraph& graph) {
  ValueWriter sites(out, kPartIdSite);
  LastOfType last(graph.types.size());
  for (std::size_t i = 0; i < graph.site.size(); ++i) {
    sites.put(zigzag(difference(graph.site[i], last.predict(graph.type[i]))));
    last.learn(graph.type[i], graph.site[i]);
  }
  sites.finish();
}

}  // namespace memsnap
