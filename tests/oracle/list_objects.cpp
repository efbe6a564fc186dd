#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <vector>

#include "snapshot/store/snapshot_file.h"

namespace {

using memsnap::NodeIndex;

// For each object the first that refers to it, to tell how the walk came by it.
std::vector<NodeIndex> first_referrers(const memsnap::HeapGraph& graph) {
  std::vector<NodeIndex> referrer(graph.node_count(), memsnap::kNoNode);
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    for (const NodeIndex target : graph.targets(node)) {
      if (referrer[target] == memsnap::kNoNode) referrer[target] = node;
    }
  }
  return referrer;
}

void list(const memsnap::HeapGraph& graph) {
  const std::vector<NodeIndex> referrer = first_referrers(graph);
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    const NodeIndex from = referrer[node];
    fmt::print("{:x} {} {} {} {:x} {}\n", graph.address[node], graph.type_name(node), graph.size[node],
               graph.flags[node], from == memsnap::kNoNode ? 0 : graph.address[from],
               from == memsnap::kNoNode ? "-" : graph.type_name(from));
  }
  for (const memsnap::Root& root : graph.roots) {
    if (root.node == memsnap::kNoNode) continue;
    fmt::print("root {:x} {} {}\n", graph.address[root.node], memsnap::root_kind_name(root.kind),
               graph.strings.text(root.name));
  }
}

}  // namespace

// One line for each object of a snapshot: address, type, size, flags, and a referrer's address and type; then the
// roots. exact_test.py uses it to say which objects differ.
int main(int argc, char** argv) {
  try {
    if (argc != 2) return 2;
    list(memsnap::load_snapshot(argv[1], memsnap::kPartsAll).graph);
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 1;
  }
}
