#include "snapshot/analysis/node_names.h"

#include <fmt/format.h>

#include <string_view>

namespace memsnap {
namespace {

std::string_view without_builtins(std::string_view type) {
  constexpr std::string_view kPrefix = "builtins.";
  return type.substr(0, kPrefix.size()) == kPrefix ? type.substr(kPrefix.size()) : type;
}

}  // namespace

NodeNames::NodeNames(const HeapGraph& graph)
    : graph_(graph),
      name_(graph.strings.find("__name__")),
      qualname_(graph.strings.find("__qualname__")),
      code_(graph.strings.find("__code__")),
      frame_code_(graph.strings.find("f_code")),
      code_name_(graph.strings.find("co_name")),
      code_qualname_(graph.strings.find("co_qualname")),
      code_file_(graph.strings.find("co_filename")) {
  for (TypeId type = 0; type < graph.types.size(); ++type) {
    if (graph.types[type].node != kNoNode) types_.emplace(graph.types[type].node, type);
  }
}

std::uint64_t NodeNames::key_of(NodeIndex from, std::uint32_t edge, std::uint64_t items_before) const {
  const EdgeLabel label = graph_.edge_label[edge];
  switch (label.kind()) {
    case Label::kItem:
      return items_before;
    case Label::kValue:
      if (edge > graph_.edge_begin[from] && graph_.edge_label[edge - 1].kind() == Label::kKey) {
        return kIsNode | graph_.edge_target[edge - 1];
      }
      [[fallthrough]];
    case Label::kAttribute:
    case Label::kLocal:
    case Label::kCell:
    case Label::kField:
      return label.has_node() ? kIsNode | label.payload() : label.payload();
    default:
      return 0;
  }
}

std::string NodeNames::text_of_key(std::uint64_t key) const {
  if ((key & kIsNode) == 0) return std::string(graph_.strings.text(static_cast<StringId>(key)));
  return std::string(graph_.text_of(static_cast<NodeIndex>(key)));
}

std::string NodeNames::label(LinkKind kind, std::uint64_t key) const {
  std::string name = kind == LinkKind::kItem ? "" : text_of_key(key);
  const std::string_view shown = name.empty() ? "?" : std::string_view(name);
  switch (kind) {
    case LinkKind::kItem:
      return fmt::format("[{}]", key);
    case LinkKind::kValue:
      if (name.empty() && (key & kIsNode) != 0) {
        return fmt::format("[<{}>]", without_builtins(graph_.type_name(static_cast<NodeIndex>(key))));
      }
      return fmt::format("['{}']", shown);
    case LinkKind::kAttribute:
    case LinkKind::kField:
      return fmt::format(".{}", shown);
    case LinkKind::kLocal:
      return fmt::format("local {}", shown);
    case LinkKind::kCell:
      return fmt::format("closure {}", shown);
    case LinkKind::kMember:
      return name;
    default:
      return label_of_many(kind);
  }
}

std::string NodeNames::label_of_many(LinkKind kind) {
  switch (kind) {
    case LinkKind::kItem:
    case LinkKind::kValue:
    case LinkKind::kMember:
      return "[*]";
    case LinkKind::kKey:
      return "key";
    case LinkKind::kAttribute:
    case LinkKind::kField:
      return ".*";
    case LinkKind::kLocal:
      return "local *";
    case LinkKind::kCell:
      return "closure *";
    case LinkKind::kClass:
      return "class";
    case LinkKind::kWeak:
      return "weak";
    case LinkKind::kStack:
      return "stack";
    case LinkKind::kInside:
      return "(shared inside)";
    case LinkKind::kNone:
      return "(unnamed)";
  }
  return "(unnamed)";
}

bool NodeNames::is_field(std::uint32_t edge, std::optional<StringId> name) const {
  const EdgeLabel label = graph_.edge_label[edge];
  return name && label.kind() == Label::kField && !label.has_node() && label.payload() == *name;
}

NodeIndex NodeNames::field(NodeIndex node, std::optional<StringId> name) const {
  if (!name) return kNoNode;
  for (std::uint32_t edge = graph_.edge_begin[node]; edge < graph_.edge_begin[node + 1]; ++edge) {
    if (is_field(edge, name)) return graph_.edge_target[edge];
  }
  return kNoNode;
}

std::string NodeNames::text_of_field(NodeIndex node, std::optional<StringId> name) const {
  const NodeIndex text = field(node, name);
  return text == kNoNode ? std::string() : std::string(graph_.text_of(text));
}

std::string NodeNames::describe_code(NodeIndex code) const {
  std::string name = text_of_field(code, code_qualname_);
  if (name.empty()) name = text_of_field(code, code_name_);
  if (name.empty()) return {};
  const std::string file = text_of_field(code, code_file_);
  return file.empty() ? name + "()" : fmt::format("{}() {}", name, file);
}

std::string NodeNames::describe(NodeIndex node) const {
  if (const auto type = types_.find(node); type != types_.end()) {
    return std::string(graph_.strings.text(graph_.types[type->second].name));
  }
  if (std::string code = describe_code(node); !code.empty()) return code;
  if (const NodeIndex code = field(node, frame_code_); code != kNoNode) return describe_code(code);
  std::string name = text_of_field(node, qualname_);
  if (name.empty()) return text_of_field(node, name_);
  const NodeIndex code = field(node, code_);
  const std::string file = code == kNoNode ? std::string() : text_of_field(code, code_file_);
  return file.empty() ? name : fmt::format("{}() {}", name, file);
}

}  // namespace memsnap
