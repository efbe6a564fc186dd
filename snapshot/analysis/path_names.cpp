#include "snapshot/analysis/path_names.h"

#include <fmt/format.h>

#include <string_view>

namespace memsnap {
namespace {

constexpr std::size_t kLongestText = 12;  // steps, half of them from each end
constexpr std::string_view kNamespace = ".__dict__";

// ['name'] as .name
std::string as_attribute(const std::string& label) {
  if (!label.starts_with("['") || !label.ends_with("']") || label.size() < 5) return label;
  return "." + label.substr(2, label.size() - 4);
}

}  // namespace

std::string root_name(const HeapGraph& graph, const Root& root) {
  return fmt::format("{} {}", root_kind_name(root.kind), graph.strings.text(root.name));
}

std::string step_label(const HeapGraph& graph, const NodeNames& names, const Path& path, std::size_t step) {
  if (step == 0 || path.steps[step].edge == kNoEdge) return "";
  const NodeIndex from = path.steps[step - 1].node;
  const std::uint32_t edge = path.steps[step].edge;
  std::uint64_t items = 0;
  for (std::uint32_t i = graph.edge_begin[from]; i < edge; ++i) {
    items += graph.edge_label[i].kind() == Label::kItem ? 1u : 0u;
  }
  return names.label(static_cast<LinkKind>(graph.edge_label[edge].kind()), names.key_of(from, edge, items));
}

std::string path_text(const HeapGraph& graph, const NodeNames& names, const Path& path) {
  std::string text = root_name(graph, path.root);
  const std::size_t count = path.steps.size();
  bool in_namespace = false;  // the step before led to an instance's or module's __dict__
  for (std::size_t i = 1; i < count; ++i) {
    if (count > kLongestText && i > kLongestText / 2 && i + kLongestText / 2 < count) {
      if (i == kLongestText / 2 + 1) text += fmt::format(" ... {} more ... ", count - kLongestText - 1);
      continue;
    }
    std::string label = step_label(graph, names, path, i);
    if (in_namespace) label = as_attribute(label);
    in_namespace = label == kNamespace && i + 1 < count;
    if (in_namespace) continue;
    if (!label.empty() && label.front() != '.' && label.front() != '[') text += ' ';
    text += label;
  }
  return text;
}

}  // namespace memsnap
