#include "snapshot/analysis/waste.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <utility>

namespace memsnap {
namespace {

constexpr std::uint64_t kDictObject = 64;  // PyDictObject and its GC header
constexpr std::uint64_t kListObject = 56;  // PyListObject and its GC header
constexpr std::uint64_t kTupleOfOne = 64;  // as sys.getsizeof says
constexpr std::uint64_t kSpareItems = 8;   // list_resize() leaves an eighth and six
constexpr unsigned kLargestTable = 32;     // log2 of slots
constexpr unsigned kSparse = 2;            // powers of two: growing leaves one

enum class Container { kNone, kDict, kList, kSet };

struct TableForm {
  std::uint64_t header;  // PyDictKeysObject before its indices
  std::uint64_t entry;   // bytes
};
// Objects/dictobject.c: to 3.10; from 3.11 with general keys, and with str keys only.
constexpr std::array kForms{TableForm{40, 24}, TableForm{32, 24}, TableForm{32, 16}};

std::uint64_t usable(unsigned log2_slots) { return (std::uint64_t{2} << log2_slots) / 3; }

std::uint64_t table_size(const TableForm& form, unsigned log2_slots) {
  const std::uint64_t slots = std::uint64_t{1} << log2_slots;
  const std::uint64_t index = slots <= 0xff ? 1 : slots <= 0xffff ? 2 : 4;
  return form.header + slots * index + usable(log2_slots) * form.entry;
}

// What a dict of that size would save with the smallest table for its entries; nothing unless it is sparse.
std::uint64_t spare_of_dict(std::uint64_t size, std::uint64_t entries) {
  unsigned least = 3;
  while (least < kLargestTable && usable(least) < entries) ++least;
  for (const TableForm& form : kForms) {
    for (unsigned log2_slots = least + kSparse; log2_slots <= kLargestTable; ++log2_slots) {
      const std::uint64_t whole = kDictObject + table_size(form, log2_slots);
      if (whole > size) break;
      if (whole == size) return size - kDictObject - table_size(form, least);
    }
  }
  return 0;
}

std::uint64_t spare_of_list(std::uint64_t size, std::uint64_t items) {
  if (size < kListObject) return 0;
  const std::uint64_t room = (size - kListObject) / 8;
  return room > items + items / 8 + kSpareItems ? 8 * (room - items) : 0;
}

std::uint64_t edges_of_kind(const HeapGraph& graph, NodeIndex node, Label kind) {
  const auto labels = graph.labels(node);
  return static_cast<std::uint64_t>(
      std::count_if(labels.begin(), labels.end(), [kind](EdgeLabel label) { return label.kind() == kind; }));
}

void add(NamedCount& total, std::uint64_t bytes) {
  if (bytes == 0) return;
  ++total.count;
  total.bytes += bytes;
}

}  // namespace

std::vector<NamedCount> find_waste(const Snapshot& snapshot) {
  const HeapGraph& graph = snapshot.graph;
  std::vector<Container> containers;
  for (const TypeEntry& type : graph.types) {
    const std::string_view name = graph.strings.text(type.name);
    containers.push_back(name == "builtins.dict"   ? Container::kDict
                         : name == "builtins.list" ? Container::kList
                         : name == "builtins.set"  ? Container::kSet
                                                   : Container::kNone);
  }
  NamedCount empty{"empty dicts", 0, 0};
  NamedCount sparse{"sparse dicts", 0, 0};
  NamedCount lists{"over-allocated lists", 0, 0};
  NamedCount sets{"one-entry sets", 0, 0};
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    const std::uint64_t size = graph.size[node];
    switch (containers[graph.type[node]]) {
      case Container::kDict: {
        const std::uint64_t entries = edges_of_kind(graph, node, Label::kKey);
        if (entries == 0) add(empty, size);
        if (entries != 0) add(sparse, spare_of_dict(size, entries));
        break;
      }
      case Container::kList:
        add(lists, spare_of_list(size, edges_of_kind(graph, node, Label::kItem)));
        break;
      case Container::kSet:
        if (edges_of_kind(graph, node, Label::kItem) == 1 && size > kTupleOfOne) add(sets, size - kTupleOfOne);
        break;
      case Container::kNone:
        break;
    }
  }
  std::vector<NamedCount> found;
  for (const NamedCount& one : snapshot.header.duplicates) {
    const std::string_view name = one.name;
    found.push_back({"duplicate " + std::string(name.substr(name.rfind('.') + 1)), one.count, one.bytes});
  }
  for (NamedCount* total : {&empty, &sparse, &lists, &sets}) {
    if (total->count != 0) found.push_back(std::move(*total));
  }
  return found;
}

}  // namespace memsnap
