#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "snapshot/analysis/node_names.h"
#include "snapshot/model/heap_graph.h"

namespace memsnap {

// Siblings of the containment tree that make one line: one object, or several that are alike.
struct Siblings {
  LinkKind kind = LinkKind::kNone;
  TypeId type = 0;
  std::uint64_t key = 0;
  bool many_keys = false;
  std::vector<NodeIndex> nodes;
  std::uint64_t retained = 0;
};

// Sorts the objects below one line into lines. Objects of the same type held in the same way and by the same name (in
// all the objects the line stands for) belong together; where there are many names, only those that retain much keep
// a line of their own, and the others become one ("[*]").
class SiblingSorter {
 public:
  // `big`: bytes from which a name is worth a line of its own.
  SiblingSorter(const HeapGraph& graph, std::uint64_t big) : graph_(graph), big_(big) {}

  void add(LinkKind kind, std::uint64_t key, NodeIndex node, std::uint64_t retained);
  std::vector<Siblings> take();  // largest first

 private:
  struct Alike {  // same kind and type
    std::unordered_map<std::uint64_t, std::size_t> by_key;
    std::vector<Siblings> lines;
    Siblings rest;
  };
  void take_from(Alike& alike, std::vector<Siblings>& out) const;

  const HeapGraph& graph_;
  std::uint64_t big_;
  std::unordered_map<std::uint64_t, std::size_t> by_kind_and_type_;
  std::vector<Alike> alike_;
};

}  // namespace memsnap
