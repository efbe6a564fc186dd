#include "report/inspect_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "report/allocation_site.h"
#include "report/object_value.h"
#include "report/snapshot_facts.h"
#include "snapshot/analysis/object_list.h"
#include "snapshot/analysis/path_names.h"
#include "snapshot/analysis/shared_names.h"

namespace memsnap {
namespace {

constexpr std::size_t kDominatorsListed = 50;
constexpr std::size_t kIndent = 2;

std::string indented(std::size_t level) { return fmt::format("{:{}}", "", 1 + kIndent * level); }

Line titled(std::string_view title) { return Line().text(fmt::format(" {:<10} ", title), Emphasis::kFaint); }

Fact text_or_null(std::string text) { return text.empty() ? Fact{nullptr} : Fact{std::move(text)}; }

// What dominates it, nearest first, up to the top of the tree.
struct Dominators {
  std::vector<NodeIndex> nearest;
  NodeIndex top = kNoNode;   // the object itself when nothing dominates it
  std::uint64_t hidden = 0;  // between the listed ones and the top
};

class Inspector {
 public:
  Inspector(const Snapshot& snapshot, const Inspection& inspection)
      : snapshot_(snapshot),
        graph_(snapshot.graph),
        names_(snapshot.graph),
        inspection_(inspection),
        node_(inspection.node) {}

  Report report() const {
    Report report;
    report.schema = "memsnap.inspect/1";
    report.headline = headline(snapshot_.header);
    Line title;
    describe_object(title, graph_, node_);
    if (inspection_.rank != 0) title.text(fmt::format("      @{}", inspection_.rank));
    report.headline.push_back(std::move(title));
    FactObject object{{"address", {hexadecimal(graph_.address[node_])}},
                      {"type", {std::string(graph_.type_name(node_))}},
                      {"size", {graph_.size[node_]}},
                      {"retained", {graph_.retained[node_]}},
                      {"rank", inspection_.rank == 0 ? Fact{nullptr} : Fact{inspection_.rank}}};
    add_value(report.headline, object);
    add_class(report.headline, object);
    add_flags(report.headline, object);
    if (auto line = allocation_line(snapshot_, node_, titled("allocated"))) report.headline.push_back(std::move(*line));
    if (!graph_.site.empty()) object.push_back({"allocated", allocation_fact(snapshot_, node_)});
    report.facts = {{"target", {target_facts(snapshot_.header.target)}}, {"object", {std::move(object)}}};
    add_dominators(report);
    add_references(report, "refers to", "referents", inspection_.referents, "  ");
    add_references(report, "referred to by", "referrers", inspection_.referrers, " of ");
    return report;
  }

 private:
  void add_value(std::vector<Line>& lines, FactObject& facts) const {
    const std::string whole = value_of(graph_, names_, node_);
    const std::string value = inspection_.whole_value ? whole : shortened(whole, kValueShown);
    const auto length = length_of(graph_, node_);
    const bool is_text = graph_.type_name(node_) == "builtins.str";
    if (!value.empty()) {
      lines.push_back(std::move(titled(is_text ? "value" : "is").text(value)));
    } else if (is_text) {
      const auto& header = snapshot_.header;
      lines.push_back(std::move(titled("value").text(
          fmt::format("not kept (--strings {})", strings_name(header.strings, header.strings_prefix)))));
    }
    if (length) lines.push_back(std::move(titled("length").count(*length)));
    facts.push_back({"len", length ? Fact{*length} : Fact{nullptr}});
    facts.push_back({"value", text_or_null(value)});
  }

  void add_class(std::vector<Line>& lines, FactObject& facts) const {
    const TypeId type = graph_.type[node_];
    const NodeIndex class_node = graph_.types[type].node;
    const std::string module = module_of(graph_.type_name(node_));
    FactObject its_class{{"name", {std::string(graph_.type_name(node_))}}, {"address", {nullptr}}};
    Line line = titled("class");
    line.type(std::string(graph_.type_name(node_)));
    if (class_node != kNoNode && class_node < graph_.node_count()) {
      its_class[1].value = {hexadecimal(graph_.address[class_node])};
      line.text(" " + hexadecimal(graph_.address[class_node]));
    }
    if (!module.empty()) line.text(" of module ").name(module);
    lines.push_back(std::move(line));
    facts.push_back({"class", {std::move(its_class)}});
    facts.push_back({"module", text_or_null(module)});
  }

  // The longest name of a module that the type's begins with.
  std::string module_of(std::string_view type) const {
    std::string_view found;
    for (const Root& root : graph_.roots) {
      if (root.kind != RootKind::kModule) continue;
      const std::string_view name = graph_.strings.text(root.name);
      const bool fits = type.size() > name.size() && type.starts_with(name) && type[name.size()] == '.';
      if (fits && name.size() > found.size()) found = name;
    }
    constexpr std::string_view kBuiltins = "builtins";  // not among sys.modules' roots
    return std::string(found.empty() && type.starts_with(kBuiltins) ? kBuiltins : found);
  }

  void add_flags(std::vector<Line>& lines, FactObject& facts) const {
    constexpr std::array<std::pair<NodeFlag, std::string_view>, 6> kNames{{{kNodeTracked, "tracked"},
                                                                           {kNodeSynthetic, "synthetic"},
                                                                           {kNodeStructural, "structural"},
                                                                           {kNodeOrphan, "orphan"},
                                                                           {kNodePermanent, "permanent"},
                                                                           {kNodeNative, "native"}}};
    FactArray words;
    Line line = titled("flags");
    for (const auto& [flag, name] : kNames) {
      if ((graph_.flags[node_] & flag) == 0) continue;
      if (!words.empty()) line.text(", ");
      line.text(std::string(name));
      words.push_back({std::string(name)});
    }
    if (!words.empty()) lines.push_back(std::move(line));
    facts.push_back({"flags", {std::move(words)}});
  }

  // A damaged file may hold a ring: no more steps than nodes.
  Dominators dominators() const {
    Dominators found;
    found.top = node_;
    for (std::size_t steps = 0; steps < graph_.node_count(); ++steps) {
      const NodeIndex above = graph_.dominator[found.top];
      if (above == kNoNode) break;
      found.top = above;
      if (found.nearest.size() < kDominatorsListed) {
        found.nearest.push_back(above);
      } else {
        ++found.hidden;
      }
    }
    return found;
  }

  // How the dominator itself holds it; empty: through several objects.
  std::string held_as(NodeIndex above, NodeIndex below) const {
    Reference reference{.node = below, .from = above};
    for (std::uint32_t edge = graph_.edge_begin[above]; edge < graph_.edge_begin[above + 1]; ++edge) {
      reference.edge = edge;
      const Label kind = graph_.edge_label[edge].kind();
      if (graph_.edge_target[edge] == below && kind != Label::kWeak) return label_of(graph_, names_, reference);
      reference.items_before += kind == Label::kItem ? 1u : 0u;
    }
    return "";
  }

  // The root at the top of the dominator tree; "shared" and a name when there is none.
  std::string top_name(NodeIndex top) const {
    const Root* best = nullptr;
    for (const Root& root : graph_.roots) {
      if (root.node == top && (best == nullptr || root.kind < best->kind)) best = &root;
    }
    if (best != nullptr && best->kind == RootKind::kUnknown) return "unknown: only C, or nothing, refers to it";
    if (best != nullptr) return root_name(graph_, *best);
    const auto names = name_shared(graph_, names_, {&top, 1});
    const auto name = names.find(top);
    return name == names.end() ? "shared by several owners" : "shared by several owners: " + name->second;
  }

  void add_dominators(Report& report) const {
    const Dominators found = dominators();
    FactArray facts;
    NodeIndex below = node_;
    std::string_view title = "held by";
    for (const NodeIndex above : found.nearest) {
      const std::string label = held_as(above, below);
      Line line = titled(title);
      line.name(label.empty() ? "(through several)" : label).text(" of ");
      report.headline.push_back(std::move(describe_object(line, graph_, above)));
      facts.push_back({FactObject{{"label", text_or_null(label)},
                                  {"address", {hexadecimal(graph_.address[above])}},
                                  {"type", {std::string(graph_.type_name(above))}},
                                  {"size", {graph_.size[above]}},
                                  {"retained", {graph_.retained[above]}}}});
      below = above;
      title = "";
    }
    if (found.hidden != 0)
      report.headline.push_back(std::move(titled("").text("... ").count(found.hidden).text(" more")));
    const std::string root = top_name(found.top);
    report.headline.push_back(std::move(titled(title).name(root, Emphasis::kStrong)));
    report.facts.push_back({"dominators", {std::move(facts)}});
    report.facts.push_back({"dominators_hidden", {found.hidden}});
    report.facts.push_back({"root", {root}});
  }

  void add_references(Report& report, const char* title, const char* key, const std::optional<References>& references,
                      const char* between) const {
    if (!references) return;
    const Reference& top = references->front();
    report.headline.push_back(
        std::move(Line().text(fmt::format(" {} ", title), Emphasis::kStrong).count(top.below + top.hidden_below)));
    FactArray facts = list_below(*references, 0, 1, between, report.headline);
    report.facts.push_back({key, {std::move(facts)}});
    report.facts.push_back({std::string(key) + "_hidden", {top.hidden_below}});
  }

  // `between`: what stands between how it is held and the object at the other end.
  FactArray list_below(const References& references, std::size_t at, std::size_t level, const char* between,
                       std::vector<Line>& lines) const {
    const Reference& above = references[at];
    FactArray facts;
    for (std::size_t i = above.first_below; i < above.first_below + above.below; ++i) {
      const Reference& reference = references[i];
      const std::string label = label_of(graph_, names_, reference);
      const bool weak = graph_.edge_label[reference.edge].kind() == Label::kWeak;
      const std::string value = shortened(value_of(graph_, names_, reference.node), kValueShown);
      Line line;
      line.text(indented(level)).name(label, weak ? Emphasis::kFaint : Emphasis::kNone);
      line.text(between);
      describe_object(line, graph_, reference.node);
      if (!value.empty()) line.text("  ").name(value, Emphasis::kFaint);
      lines.push_back(std::move(line));
      FactObject fact{{"label", {label}},
                      {"weak", {weak}},
                      {"address", {hexadecimal(graph_.address[reference.node])}},
                      {"type", {std::string(graph_.type_name(reference.node))}},
                      {"size", {graph_.size[reference.node]}},
                      {"retained", {graph_.retained[reference.node]}},
                      {"tracked", {(graph_.flags[reference.node] & kNodeTracked) != 0}},
                      {"value", text_or_null(value)}};
      if (reference.below + reference.hidden_below != 0) {
        fact.push_back({"beyond", {list_below(references, i, level + 1, between, lines)}});
        fact.push_back({"beyond_hidden", {reference.hidden_below}});
      }
      facts.push_back({std::move(fact)});
    }
    if (above.hidden_below != 0) {
      lines.push_back(std::move(
          Line().text(indented(level)).text("+ ").count(above.hidden_below).text(" more      -n 0 shows all")));
    }
    return facts;
  }

  const Snapshot& snapshot_;
  const HeapGraph& graph_;
  NodeNames names_;
  const Inspection& inspection_;
  NodeIndex node_;
};

}  // namespace

Report make_inspection(const Snapshot& snapshot, const Inspection& inspection) {
  return Inspector(snapshot, inspection).report();
}

}  // namespace memsnap
