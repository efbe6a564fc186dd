#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include "snapshot/model/heap_graph.h"

namespace memsnap {

// How one object is held by another. The first values are those of Label.
enum class LinkKind : std::uint8_t {
  kNone = 0,
  kItem,
  kKey,
  kValue,
  kAttribute,
  kLocal,
  kCell,
  kField,
  kClass,
  kWeak,
  kStack,
  kInside,  // held by several objects inside the holder, not by itself
  kMember,  // of a group of roots
};

// Texts for objects and references, raw as the target has them.
class NodeNames {
 public:
  explicit NodeNames(const HeapGraph& graph);

  // What tells one reference of an object from another of the same kind: an index, a key, a name. 0: nothing does.
  std::uint64_t key_of(NodeIndex from, std::uint32_t edge, std::uint64_t items_before) const;
  // The value of an instance's or module's namespace, named as an attribute.
  static std::uint64_t key_of_text(NodeIndex text) { return kIsNode | text; }

  std::string label(LinkKind kind, std::uint64_t key) const;  // ".name", "['key']", "[3]", "local rows"
  static std::string label_of_many(LinkKind kind);            // ".*", "[*]", "local *"
  // What an object is: "checkout() shop/cart.py", "shop.cart.Entry"; empty when nothing is known.
  std::string describe(NodeIndex node) const;

  bool is_field(std::uint32_t edge, std::optional<StringId> name) const;
  NodeIndex field(NodeIndex node, std::optional<StringId> name) const;

 private:
  static constexpr std::uint64_t kIsNode = std::uint64_t{1} << 32;  // in a key: a node, not a string or an index

  std::string text_of_key(std::uint64_t key) const;
  std::string text_of_field(NodeIndex node, std::optional<StringId> name) const;
  std::string describe_code(NodeIndex code) const;

  const HeapGraph& graph_;
  std::unordered_map<NodeIndex, TypeId> types_;
  std::optional<StringId> name_, qualname_, code_, frame_code_, code_name_, code_qualname_, code_file_;
};

}  // namespace memsnap
