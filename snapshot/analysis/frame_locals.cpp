#include "snapshot/analysis/frame_locals.h"

#include <algorithm>
#include <vector>

namespace memsnap {
namespace {

std::string name_of(const HeapGraph& graph, EdgeLabel label) {
  return std::string(label.has_node() ? graph.text_of(label.payload()) : graph.strings.text(label.payload()));
}

// A variable that functions inside share is kept in a cell: what counts is what lies in it.
NodeIndex in_cell(const HeapGraph& graph, NodeIndex node) {
  if (graph.type_name(node) != "builtins.cell") return node;
  const auto labels = graph.labels(node);
  for (std::size_t i = 0; i < labels.size(); ++i) {
    if (labels[i].kind() != Label::kClass && labels[i].kind() != Label::kWeak) return graph.targets(node)[i];
  }
  return node;
}

std::uint64_t items_of(const HeapGraph& graph, NodeIndex node) {
  const auto labels = graph.labels(node);
  return static_cast<std::uint64_t>(std::count_if(labels.begin(), labels.end(), [](EdgeLabel label) {
    return label.kind() == Label::kItem || label.kind() == Label::kKey;
  }));
}

}  // namespace

FrameLocals frame_locals(const HeapGraph& graph, std::uint64_t address) {
  FrameLocals found;
  const NodeIndex frame = address == 0 ? kNoNode : graph.find(address);
  if (frame == kNoNode || graph.retained.size() != graph.node_count()) return found;
  found.known = true;
  std::vector<NodeIndex> counted;
  const auto labels = graph.labels(frame);
  NodeIndex largest = kNoNode;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const Label kind = labels[i].kind();
    const NodeIndex target = graph.targets(frame)[i];
    if ((kind != Label::kLocal && kind != Label::kCell && kind != Label::kStack) || target == frame) continue;
    const bool again = std::find(counted.begin(), counted.end(), target) != counted.end();
    if (!again && graph.dominator[target] == frame) found.retained += graph.retained[target];
    counted.push_back(target);
    if (kind == Label::kStack) continue;
    const NodeIndex value = in_cell(graph, target);
    if (largest != kNoNode && graph.retained[value] <= found.bytes) continue;
    largest = value;
    found.name = name_of(graph, labels[i]);
    found.bytes = graph.retained[value];
    found.shared = graph.dominator[target] != frame || (value != target && graph.dominator[value] != target);
  }
  if (largest == kNoNode) return found;
  found.type = std::string(graph.type_name(largest));
  found.items = items_of(graph, largest);
  return found;
}

}  // namespace memsnap
