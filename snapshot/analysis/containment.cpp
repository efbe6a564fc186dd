#include "snapshot/analysis/containment.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <string_view>
#include <unordered_map>

#include "snapshot/analysis/containment_groups.h"
#include "snapshot/analysis/dominated_nodes.h"
#include "snapshot/analysis/node_names.h"
#include "snapshot/analysis/ownership.h"
#include "snapshot/analysis/shared_names.h"

namespace memsnap {
namespace {

constexpr std::uint32_t kMaxDepth = 200;  // lines are built and printed recursively
constexpr std::size_t kSharedGroup = static_cast<std::size_t>(RootKind::kUnknown) + 1;
constexpr std::array<std::string_view, kSharedGroup + 1> kGroupLabels{"",
                                                                      "",
                                                                      "builtins",
                                                                      "types",
                                                                      "interned strings",
                                                                      "permanent generation",
                                                                      "module state",
                                                                      "",
                                                                      "unknown: only C refers to it",
                                                                      "shared: several owners"};

// CPython's frame objects, and the running frames that are no objects (3.11 and later).
bool is_frame_type(std::string_view name) {
  return name == "builtins.frame" || name == "frame" || name == "interpreter frame";
}

class ContainmentBuilder {
 public:
  ContainmentBuilder(const HeapGraph& graph, const TreeLimits& limits)
      : graph_(graph),
        names_(graph),
        below_(graph),
        placed_(graph.node_count()),
        dict_field_(graph.strings.find("__dict__")),
        back_field_(graph.strings.find("f_back")),
        frame_types_(graph.types.size()),
        depth_(limits.depth == 0 ? kMaxDepth : std::min(limits.depth, kMaxDepth)),
        max_children_(limits.max_children == 0 ? ~std::size_t{0} : limits.max_children) {
    for (const NodeIndex node : below_.of(kNoNode)) total_ += graph.retained[node];
    const double smallest = static_cast<double>(total_) * std::clamp(limits.min_percent, 0.0, 100.0) / 100;
    smallest_ = static_cast<std::uint64_t>(smallest);
    for (TypeId type = 0; type < graph.types.size(); ++type) {
      frame_types_[type] = is_frame_type(graph.strings.text(graph.types[type].name));
    }
  }

  TreeNode build() {
    TreeNode all;
    all.label = "all";
    all.retained = total_;
    for (const TypeEntry& type : graph_.types) {
      all.count += type.count;
      all.size += type.size;
    }
    std::vector<TreeNode> tops = build_tops();
    std::stable_sort(tops.begin(), tops.end(), [](const auto& a, const auto& b) { return a.retained > b.retained; });
    for (TreeNode& top : tops) {
      if (top.retained >= smallest_ && all.children.size() < max_children_) {
        all.children.push_back(std::move(top));
      } else {
        all.hidden_count += top.count;
        all.hidden_retained += top.retained;
      }
    }
    return all;
  }

 private:
  struct Group {
    std::string label;
    std::vector<NodeIndex> nodes;
  };

  // Modules and threads have a line each, other roots one for each kind.
  std::vector<TreeNode> build_tops() {
    std::unordered_map<NodeIndex, const Root*> root_of;
    for (const Root& root : graph_.roots) {
      const auto [place, is_new] = root_of.try_emplace(root.node, &root);
      if (!is_new && root.kind < place->second->kind) place->second = &root;
    }
    std::vector<TreeNode> tops;
    std::vector<Group> groups(kGroupLabels.size());
    for (std::size_t i = 0; i < groups.size(); ++i) groups[i].label = kGroupLabels[i];
    std::unordered_map<StringId, std::size_t> interpreters;
    for (const NodeIndex node : below_.of(kNoNode)) {
      placed_.set(node);
      const auto found = root_of.find(node);
      if (found == root_of.end()) {
        groups[kSharedGroup].nodes.push_back(node);
        continue;
      }
      const Root& root = *found->second;
      if (root.kind == RootKind::kModule || root.kind == RootKind::kThread) {
        tops.push_back(build_root(root));
      } else if (root.kind == RootKind::kInterpreter) {
        const auto [place, is_new] = interpreters.try_emplace(root.name, groups.size());
        if (is_new)
          groups.push_back({root.name == 0 ? "interpreter" : std::string(graph_.strings.text(root.name)), {}});
        groups[place->second].nodes.push_back(node);
      } else {
        groups[static_cast<std::size_t>(root.kind)].nodes.push_back(node);
        if (root.name != 0) member_names_.emplace(node, root.name);
      }
    }
    name_big_members(groups);
    for (const Group& group : groups) {
      if (!group.nodes.empty()) tops.push_back(build_group(group));
    }
    return tops;
  }

  // Those that may get a line of their own.
  void name_big_members(const std::vector<Group>& groups) {
    constexpr std::size_t kMost = 1024;
    std::vector<NodeIndex> big;
    for (const Group& group : groups) {
      for (const NodeIndex node : group.nodes) {
        if (graph_.retained[node] >= smallest_ && member_names_.count(node) == 0) big.push_back(node);
      }
    }
    const std::size_t count = std::min(big.size(), kMost);
    std::partial_sort(
        big.begin(), big.begin() + static_cast<std::ptrdiff_t>(count), big.end(), [&](NodeIndex a, NodeIndex b) {
          return graph_.retained[a] != graph_.retained[b] ? graph_.retained[a] > graph_.retained[b] : a < b;
        });
    big.resize(count);
    shared_names_ = name_shared(graph_, names_, big);
  }

  TreeNode build_root(const Root& root) {
    TreeNode line;
    const std::string_view name = graph_.strings.text(root.name);
    line.label = fmt::format("{} {}", root_kind_name(root.kind), name.empty() ? "?" : name);
    line.type = graph_.type_name(root.node);
    line.count = 1;
    line.size = graph_.size[root.node];
    line.retained = graph_.retained[root.node];
    add_children(line, {&root.node, 1}, 1);
    return line;
  }

  TreeNode build_group(const Group& group) {
    TreeNode line;
    line.label = group.label;
    line.count = group.nodes.size();
    SiblingSorter sorter(graph_, smallest_);
    for (const NodeIndex node : group.nodes) {
      line.size += graph_.size[node];
      line.retained += graph_.retained[node];
      const auto named = member_names_.find(node);
      // Roots without a name are told apart by what they are: type objects above all.
      const std::uint64_t key = named != member_names_.end() ? named->second : kUnnamedMember | node;
      sorter.add(LinkKind::kMember, key, node, graph_.retained[node]);
    }
    add_lines(line, sorter, 1);
    return line;
  }

  TreeNode build_line(const Siblings& siblings, std::uint32_t depth) {
    TreeNode line;
    line.count = siblings.nodes.size();
    line.folded = line.count > 1;
    line.retained = siblings.retained;
    line.type = graph_.strings.text(graph_.types[siblings.type].name);
    for (const NodeIndex node : siblings.nodes) line.size += graph_.size[node];
    if (!line.folded) line.note = names_.describe(siblings.nodes.front());
    line.label = label_of(siblings, line);
    if (depth < depth_) add_children(line, siblings.nodes, depth + 1);
    return line;
  }

  std::string label_of(const Siblings& siblings, const TreeNode& line) const {
    if (siblings.many_keys) return NodeNames::label_of_many(siblings.kind);
    if (is_frame(siblings.nodes.front())) return line.note.empty() ? "frame" : "frame " + line.note;
    if (siblings.kind == LinkKind::kMember && (siblings.key & kUnnamedMember) != 0) {
      const auto name = shared_names_.find(siblings.nodes.front());
      if (name != shared_names_.end()) return name->second;
      return line.note.empty() ? "(unnamed)" : line.note;
    }
    return names_.label(siblings.kind, siblings.key);
  }

  void add_children(TreeNode& line, std::span<const NodeIndex> nodes, std::uint32_t depth) {
    SiblingSorter sorter(graph_, smallest_);
    for (const NodeIndex node : nodes) sort_below(node, sorter);
    add_lines(line, sorter, depth);
  }

  void add_lines(TreeNode& line, SiblingSorter& sorter, std::uint32_t depth) {
    for (const Siblings& siblings : sorter.take()) {
      if (siblings.retained >= smallest_ && line.children.size() < max_children_) {
        line.children.push_back(build_line(siblings, depth));
      } else {
        line.hidden_count += siblings.nodes.size();
        line.hidden_retained += siblings.retained;
      }
    }
  }

  void sort_below(NodeIndex node, SiblingSorter& sorter) {
    if (below_.of(node).empty()) return;
    sort_references(node, sorter, false);
    for (const NodeIndex inside : below_.of(node)) {
      if (!placed_.test(inside)) place(LinkKind::kInside, 0, inside, sorter);
    }
  }

  // `as_attributes`: `node` is a namespace, shown as attributes of the object it belongs to.
  void sort_references(NodeIndex node, SiblingSorter& sorter, bool as_attributes) {
    std::uint64_t items = 0;
    for (std::uint32_t edge = graph_.edge_begin[node]; edge < graph_.edge_begin[node + 1]; ++edge) {
      const NodeIndex target = graph_.edge_target[edge];
      auto kind = static_cast<LinkKind>(graph_.edge_label[edge].kind());
      const std::uint64_t items_before = items;
      items += kind == LinkKind::kItem ? 1 : 0;
      if (graph_.dominator[target] != node || placed_.test(target) || kind == LinkKind::kWeak) continue;
      if (names_.is_field(edge, back_field_) && is_frame(node)) {
        placed_.set(target);  // the caller's frame stands beside this one
      } else if (names_.is_field(edge, dict_field_)) {
        placed_.set(target);
        sort_namespace(target, sorter);
      } else {
        if (as_attributes && kind == LinkKind::kValue) kind = LinkKind::kAttribute;
        place(kind, names_.key_of(node, edge, items_before), target, sorter);
      }
    }
  }

  void sort_namespace(NodeIndex dict, SiblingSorter& sorter) {
    sort_references(dict, sorter, true);
    for (const NodeIndex inside : below_.of(dict)) {
      if (!placed_.test(inside)) place(LinkKind::kInside, 0, inside, sorter);
    }
  }

  void place(LinkKind kind, std::uint64_t key, NodeIndex node, SiblingSorter& sorter) {
    placed_.set(node);
    if (!is_frame(node)) {
      sorter.add(kind, key, node, graph_.retained[node]);
      return;
    }
    // Frames hold their callers': shown side by side instead, each with what it retains without the next.
    while (node != kNoNode) {
      const NodeIndex caller = held_caller(node);
      const std::uint64_t of_caller = caller == kNoNode ? 0 : graph_.retained[caller];
      sorter.add(LinkKind::kField, kFrameKey | node, node,
                 graph_.retained[node] - std::min(graph_.retained[node], of_caller));
      if (caller != kNoNode) placed_.set(caller);
      node = caller;
    }
  }

  NodeIndex held_caller(NodeIndex frame) const {
    const NodeIndex caller = names_.field(frame, back_field_);
    return caller != kNoNode && graph_.dominator[caller] == frame && is_frame(caller) && !placed_.test(caller)
               ? caller
               : kNoNode;
  }

  bool is_frame(NodeIndex node) const { return frame_types_[graph_.type[node]]; }

  static constexpr std::uint64_t kUnnamedMember = std::uint64_t{1} << 33;
  static constexpr std::uint64_t kFrameKey = std::uint64_t{1} << 34;

  const HeapGraph& graph_;
  NodeNames names_;
  DominatedNodes below_;
  BitSet placed_;  // nodes that have a line, or are left out of all
  std::unordered_map<NodeIndex, StringId> member_names_;
  std::unordered_map<NodeIndex, std::string> shared_names_;
  std::optional<StringId> dict_field_, back_field_;
  std::vector<bool> frame_types_;
  std::uint32_t depth_;
  std::size_t max_children_;
  std::uint64_t total_ = 0;
  std::uint64_t smallest_ = 0;
};

void check_columns(const HeapGraph& graph) {
  const std::size_t nodes = graph.node_count();
  bool fits = graph.size.size() == nodes && graph.dominator.size() == nodes && graph.retained.size() == nodes &&
              graph.edge_begin.size() == nodes + 1 && graph.edge_label.size() == graph.edge_count();
  for (const TypeId type : graph.type) fits = fits && type < graph.types.size();
  if (!fits) throw std::invalid_argument("the snapshot has no containment tree");
}

}  // namespace

TreeNode build_containment(const HeapGraph& graph, const TreeLimits& limits) {
  check_columns(graph);
  return ContainmentBuilder(graph, limits).build();
}

}  // namespace memsnap
