#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "snapshot/model/string_table.h"

namespace memsnap {

using NodeIndex = std::uint32_t;
using TypeId = std::uint32_t;
inline constexpr NodeIndex kNoNode = 0xffffffff;

// The same numbers as the walker's EdgeKind (inject/protocol/walker_abi.h): stored in files, never renumbered.
enum class Label : std::uint8_t {
  kNone = 0,
  kItem,  // n-th element: the index is the number of kItem edges before it
  kKey,   // dict key; its kValue edge follows at once
  kValue,
  kAttribute,  // payload: name
  kLocal,      // payload: name
  kCell,       // payload: name
  kField,      // payload: name
  kClass,
  kWeak,  // not an owner: ignored by dominators
  kStack,
};

// A reference's name in 32 bits: kind (4), whether the payload is a node (1), payload (27): a str node or a StringId.
struct EdgeLabel {
  std::uint32_t bits = 0;

  static constexpr std::uint32_t kPayloadMax = (1u << 27) - 1;
  static constexpr EdgeLabel of(Label kind) { return {static_cast<std::uint32_t>(kind) << 28}; }
  static constexpr EdgeLabel named(Label kind, StringId name) {
    return {static_cast<std::uint32_t>(kind) << 28 | (name > kPayloadMax ? 0 : name)};
  }
  static constexpr EdgeLabel named_by(Label kind, NodeIndex text) {
    return {static_cast<std::uint32_t>(kind) << 28 | (text > kPayloadMax ? 0 : 1u << 27 | text)};
  }
  constexpr Label kind() const { return static_cast<Label>(bits >> 28); }
  constexpr bool has_node() const { return (bits >> 27 & 1) != 0; }
  constexpr std::uint32_t payload() const { return bits & kPayloadMax; }
};

enum NodeFlag : std::uint8_t {
  kNodeTracked = 1,     // in a collector's list
  kNodeSynthetic = 2,   // thread state or interpreter frame: shown, not counted as an object
  kNodeStructural = 4,  // its tp_traverse failed or was not run
  kNodeOrphan = 8,      // found by the orphan scan only
  kNodePermanent = 16,  // gc.freeze()
  kNodeNative = 32,     // memory of malloc that holds no Python object: shown, not counted as an object
};

enum class RootKind : std::uint8_t {
  kModule = 0,  // a module in sys.modules; name: the module's
  kThread,      // a thread state: frames and locals hang below it; name: the thread's
  kBuiltins,
  kType,       // static types
  kInterned,   // the dict of interned strings
  kPermanent,  // permanent generation, reached from nowhere else
  kModuleState,
  kInterpreter,  // fields of PyInterpreterState: codecs, sysdict, ...; name: "interpreter N"
  kUnknown,      // only C, or nothing (garbage not yet collected), refers to it
};
std::string_view root_kind_name(RootKind kind);  // "module", "thread", "builtins", ...

inline constexpr std::string_view kNativeTypeName = "native memory";

struct Root {
  RootKind kind = RootKind::kUnknown;
  NodeIndex node = kNoNode;
  StringId name = 0;
};

struct TypeEntry {
  StringId name = 0;  // module.qualname, "builtins.dict"
  std::uint64_t address = 0;
  NodeIndex node = kNoNode;  // the type object
  std::uint32_t basic_size = 0;
  // Totals over all its instances; `retained` counts an instance inside another of the same type once.
  std::uint64_t count = 0;
  std::uint64_t size = 0;
  std::uint64_t retained = 0;
  std::uint64_t native = 0;  // of native memory that its instances own
};

// The objects and references of one process: columns, in ascending order of address.
struct HeapGraph {
  std::vector<std::uint64_t> address;
  std::vector<TypeId> type;
  std::vector<std::uint64_t> size;        // bytes: __sizeof__ + GC header
  std::vector<std::uint8_t> flags;        // NodeFlag
  std::vector<std::uint32_t> edge_begin;  // node_count + 1; edges of node i: [edge_begin[i], edge_begin[i + 1])
  std::vector<NodeIndex> edge_target;
  std::vector<EdgeLabel> edge_label;
  std::vector<TypeEntry> types;
  std::vector<Root> roots;
  StringTable strings;
  // Kept text values of str nodes (--strings): sorted by node.
  std::vector<NodeIndex> text_node;
  std::vector<StringId> text;
  // --strings hash: a keyed hash of the value of each str node, sorted by node.
  std::vector<NodeIndex> hash_node;
  std::vector<std::uint32_t> text_hash;

  // Where each object's block was allocated: 1 + row of the allocation profile beside it, 0: not known. Empty: the
  // process was not tracked.
  std::vector<std::uint32_t> site;

  // Filled by analysis, kept in the file; empty before.
  std::vector<NodeIndex> dominator;     // immediate dominator; kNoNode: dominated only by the virtual root
  std::vector<std::uint64_t> retained;  // bytes of all nodes it dominates, its own too

  bool is_object(NodeIndex node) const { return (flags[node] & (kNodeSynthetic | kNodeNative)) == 0; }
  std::size_t node_count() const { return type.size(); }  // `address` may not be loaded
  std::size_t edge_count() const { return edge_target.size(); }
  std::span<const NodeIndex> targets(NodeIndex node) const {
    return std::span(edge_target).subspan(edge_begin[node], edge_begin[node + 1] - edge_begin[node]);
  }
  std::span<const EdgeLabel> labels(NodeIndex node) const {
    return std::span(edge_label).subspan(edge_begin[node], edge_begin[node + 1] - edge_begin[node]);
  }
  NodeIndex find(std::uint64_t at) const;          // by address; kNoNode: no such object
  std::string_view text_of(NodeIndex node) const;  // kept value of a str node, else empty
  std::string_view type_name(NodeIndex node) const;
};

}  // namespace memsnap
