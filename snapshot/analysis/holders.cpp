#include "snapshot/analysis/holders.h"

#include "snapshot/analysis/containment.h"

namespace memsnap {
namespace {

// ".name" and "[key]" follow their holder at once, words after a space.
std::string joined(const std::string& holder, const std::string& label) {
  if (holder.empty() || label.empty() || label.front() == '.' || label.front() == '[') return holder + label;
  return holder + " " + label;
}

// By a stack of its own: the depth of a tree is the target's to choose.
void collect(const TreeNode& all, std::map<HolderPath, Totals>& totals) {
  std::vector<std::pair<const TreeNode*, std::string>> open;
  for (const TreeNode& top : all.children) open.emplace_back(&top, "");
  while (!open.empty()) {
    const auto [node, holder] = open.back();
    open.pop_back();
    const std::string path = joined(holder, node->label);
    Totals& found = totals[{path, node->type}];
    found.count += node->count;
    found.size += node->retained;
    for (const TreeNode& child : node->children) open.emplace_back(&child, path);
  }
}

}  // namespace

std::map<HolderPath, Totals> holder_totals(const HeapGraph& graph, const HolderLimits& limits) {
  TreeNode all = build_containment(graph, {.depth = limits.depth == 0 ? 1 : limits.depth,
                                           .min_percent = limits.min_percent,
                                           .max_children = limits.siblings});
  if (limits.depth == 0) {
    for (TreeNode& top : all.children) top.children.clear();
  }
  std::map<HolderPath, Totals> totals;
  collect(all, totals);
  return totals;
}

}  // namespace memsnap
