#include "report/profile_tree_report.h"

#include <utility>

#include "report/profile_facts.h"
#include "report/snapshot_facts.h"

namespace memsnap {
namespace {

void add_notes(TreeNode& node) {
  node.note = location_text(node.file, node.line);
  for (TreeNode& child : node.children) add_notes(child);
}

}  // namespace

Report make_profile_tree(const Snapshot& snapshot, const ProfileTreeOptions& options) {
  const AllocationProfile& profile = *snapshot.profile;
  const CallSums sums = sum_calls(profile, column_of(profile, options.measure), !options.all_frames);
  Report report;
  report.schema = "memsnap.tree/1";
  report.facts = {{"of", {"allocations"}},
                  {"measure", {measure_name(options.measure)}},
                  {"inverted", {options.inverted}},
                  {"target", {target_facts(snapshot.header.target)}},
                  {"capture", {profile_facts(profile)}},
                  {"totals", {FactObject{{"count", {sums.total[0].count}}, {"bytes", {sums.total[0].bytes}}}}}};
  report.headline = profile_headline(snapshot.header, profile);
  report.headline.push_back(Line().text("shown: " + measure_sentence(options.measure)));

  TreeNode all = build_call_tree(profile, sums, options.inverted, options.limits);
  add_notes(all);
  Tree tree;
  tree.key = "calls";
  tree.of_calls = true;
  tree.total = all.retained;
  tree.roots.push_back(std::move(all));
  report.tree = std::move(tree);
  return report;
}

}  // namespace memsnap
