#include "snapshot/model/heap_graph.h"

#include <algorithm>

namespace memsnap {

std::string_view root_kind_name(RootKind kind) {
  switch (kind) {
    case RootKind::kModule:
      return "module";
    case RootKind::kThread:
      return "thread";
    case RootKind::kBuiltins:
      return "builtins";
    case RootKind::kType:
      return "type";
    case RootKind::kInterned:
      return "interned";
    case RootKind::kPermanent:
      return "permanent";
    case RootKind::kModuleState:
      return "module state";
    case RootKind::kInterpreter:
      return "interpreter";
    case RootKind::kUnknown:
      return "unknown";
  }
  return "unknown";
}

NodeIndex HeapGraph::find(std::uint64_t at) const {
  const auto found = std::lower_bound(address.begin(), address.end(), at);
  if (found == address.end() || *found != at) return kNoNode;
  return static_cast<NodeIndex>(found - address.begin());
}

std::string_view HeapGraph::text_of(NodeIndex node) const {
  const auto found = std::lower_bound(text_node.begin(), text_node.end(), node);
  if (found == text_node.end() || *found != node) return {};
  return strings.text(text[static_cast<std::size_t>(found - text_node.begin())]);
}

std::string_view HeapGraph::type_name(NodeIndex node) const {
  if (node >= type.size() || type[node] >= types.size()) return {};
  return strings.text(types[type[node]].name);
}

}  // namespace memsnap
