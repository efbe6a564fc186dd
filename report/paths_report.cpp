#include "report/paths_report.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "report/allocation_site.h"
#include "report/object_value.h"
#include "report/snapshot_facts.h"
#include "snapshot/analysis/path_names.h"

namespace memsnap {
namespace {

constexpr int kIndent = 2;

class Paths {
 public:
  explicit Paths(const HeapGraph& graph) : graph_(graph), names_(graph) {}

  // The root's name, then one line a reference, each deeper than the one before.
  void add_lines(const Path& path, std::vector<Line>& lines) const {
    lines.push_back(Line().text("   ").name(root_name(graph_, path.root), Emphasis::kStrong));
    int depth = 0;
    for (std::size_t i = 0; i < path.steps.size(); ++i) {
      const NodeIndex node = path.steps[i].node;
      if (i == 0 && path.root.kind == RootKind::kModule) continue;  // its own line has said it
      Line line;
      line.text(std::string(static_cast<std::size_t>(3 + kIndent * ++depth), ' '));
      const std::string label = label_of(path, i);
      if (!label.empty()) line.name(label).text("  ");
      line.type(std::string(graph_.type_name(node))).text(", retains ").bytes(graph_.retained[node]);
      lines.push_back(std::move(line));
    }
  }

  FactArray facts(const Path& path) const {
    FactArray steps;
    for (std::size_t i = 0; i < path.steps.size(); ++i) {
      const NodeIndex node = path.steps[i].node;
      steps.push_back({FactObject{{"name", {i == 0 ? root_name(graph_, path.root) : label_of(path, i)}},
                                  {"type", {std::string(graph_.type_name(node))}},
                                  {"address", {hexadecimal(graph_.address[node])}},
                                  {"size", {graph_.size[node]}},
                                  {"retained", {graph_.retained[node]}}}});
    }
    return steps;
  }

 private:
  std::string label_of(const Path& path, std::size_t step) const { return step_label(graph_, names_, path, step); }

  const HeapGraph& graph_;
  NodeNames names_;
};

}  // namespace

Report make_paths(const Snapshot& snapshot, NodeIndex target, const std::vector<Path>& paths) {
  const Paths texts(snapshot.graph);
  Report report;
  report.schema = "memsnap.roots/1";
  FactArray all;
  report.headline = headline(snapshot.header);
  Line what;
  report.headline.push_back(describe_object(what, snapshot.graph, target));
  if (auto line = allocation_line(snapshot, target, Line().text(" allocated in "))) {
    report.headline.push_back(std::move(*line));
  }
  for (std::size_t i = 0; i < paths.size(); ++i) {
    Line title;
    title.text(fmt::format(" path {} of {} ({} steps{})", i + 1, paths.size(), paths[i].steps.size(),
                           i == 0 ? ", the shortest" : ""));
    report.headline.push_back(std::move(title));
    texts.add_lines(paths[i], report.headline);
    all.push_back({texts.facts(paths[i])});
  }
  if (paths.empty()) report.headline.push_back(Line().text(" no: no root leads to it"));
  report.facts = {{"target", {target_facts(snapshot.header.target)}}, {"paths", {std::move(all)}}};
  if (!snapshot.graph.site.empty()) report.facts.push_back({"allocated", allocation_fact(snapshot, target)});
  return report;
}

}  // namespace memsnap
