#include "report/tree_report.h"

#include <utility>

#include "attach/base/error.h"
#include "report/snapshot_facts.h"

namespace memsnap {

Report make_tree(const Snapshot& snapshot, const TreeLimits& limits) {
  if (snapshot.header.kind != SnapshotKind::kHeap) {
    throw Error(ExitCode::kUsage, "this snapshot has types only: there is no tree in it",
                "take one with --kind heap (the default)");
  }
  if (snapshot.graph.dominator.size() != snapshot.graph.type.size()) {
    throw Error(ExitCode::kBadFile, "this snapshot was saved without its analysis", "take it again");
  }
  Report report;
  report.schema = "memsnap.tree/1";
  report.facts = {{"target", {target_facts(snapshot.header.target)}},
                  {"memory", {memory_facts(snapshot.header.memory)}},
                  {"totals", {totals_facts(snapshot.header)}},
                  {"snapshot", {capture_facts(snapshot.header)}}};
  report.headline = headline(snapshot.header);

  TreeNode all = build_containment(snapshot.graph, limits);
  Tree tree;
  tree.key = "nodes";
  tree.total = all.retained;
  tree.roots = std::move(all.children);
  tree.hidden_count = all.hidden_count;
  tree.hidden_retained = all.hidden_retained;
  report.facts.push_back(
      {"hidden", {FactObject{{"count", {tree.hidden_count}}, {"retained", {tree.hidden_retained}}}}});
  report.tree = std::move(tree);
  return report;
}

}  // namespace memsnap
