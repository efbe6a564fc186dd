#include "report/paths_dot.h"

#include <fmt/format.h>

#include <iterator>
#include <set>
#include <string_view>
#include <utility>

#include "attach/base/printable.h"
#include "report/text_layout.h"
#include "snapshot/analysis/node_names.h"
#include "snapshot/analysis/path_names.h"

namespace memsnap {
namespace {

constexpr std::size_t kLongestLabel = 60;  // columns

// Without the quotes. A backslash begins an escape there (\n, \l, \N), an ampersand an entity of HTML.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : cut_middle(printable(text), kLongestLabel, true)) {
    if (c == '&') {
      out += "&amp;";
      continue;
    }
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

std::string_view without_builtins(std::string_view type) {
  constexpr std::string_view kPrefix = "builtins.";
  return type.starts_with(kPrefix) ? type.substr(kPrefix.size()) : type;
}

class DotGraph {
 public:
  DotGraph(const HeapGraph& graph, NodeIndex target, Units units)
      : graph_(graph), names_(graph), target_(target), units_(units) {}

  std::string write(const std::vector<Path>& paths) {
    out_ = "digraph memsnap {\n  rankdir=LR;\n  node [shape=box];\n";
    add_node(target_);
    for (const Path& path : paths) add_path(path);
    return out_ + "}\n";
  }

 private:
  void add_path(const Path& path) {
    if (path.steps.empty()) return;
    const std::string root = dot_text(root_name(graph_, path.root));
    const std::string id = fmt::format("r{}_{:x}", static_cast<int>(path.root.kind), graph_.address[path.root.node]);
    if (roots_.insert(id).second) append("  {} [label={}, shape=ellipse];\n", id, root);
    add_node(path.steps.front().node);
    add_edge(id, name_of(path.steps.front().node), "");
    for (std::size_t i = 1; i < path.steps.size(); ++i) {
      add_node(path.steps[i].node);
      add_edge(name_of(path.steps[i - 1].node), name_of(path.steps[i].node), step_label(graph_, names_, path, i));
    }
  }

  void add_node(NodeIndex node) {
    if (!nodes_.insert(node).second) return;
    append("  {} [label=\"{}\\n{:#x}\\n{}, retains {}\"{}];\n", name_of(node),
           escaped(without_builtins(graph_.type_name(node))), graph_.address[node],
           bytes_text(graph_.size[node], units_), bytes_text(graph_.retained[node], units_),
           node == target_ ? ", peripheries=2" : "");
  }

  void add_edge(const std::string& from, const std::string& to, const std::string& label) {
    if (!edges_.insert({from + ' ' + to, label}).second) return;
    append("  {} -> {}{};\n", from, to, label.empty() ? "" : fmt::format(" [label={}]", dot_text(label)));
  }

  std::string name_of(NodeIndex node) const { return fmt::format("n{:x}", graph_.address[node]); }

  template <typename... Values>
  void append(fmt::format_string<const Values&...> format, const Values&... values) {
    fmt::format_to(std::back_inserter(out_), format, values...);
  }

  const HeapGraph& graph_;
  NodeNames names_;
  NodeIndex target_;
  Units units_;
  std::string out_;
  std::set<NodeIndex> nodes_;
  std::set<std::string> roots_;
  std::set<std::pair<std::string, std::string>> edges_;
};

}  // namespace

std::string dot_text(std::string_view text) { return '"' + escaped(text) + '"'; }

std::string paths_as_dot(const Snapshot& snapshot, NodeIndex target, const std::vector<Path>& paths, Units units) {
  return DotGraph(snapshot.graph, target, units).write(paths);
}

}  // namespace memsnap
