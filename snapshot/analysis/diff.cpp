#include "snapshot/analysis/diff.h"

#include <map>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <utility>

namespace memsnap {
namespace {

void add(TypeTotals& totals, std::uint64_t size) {
  ++totals.count;
  totals.size += size;
}

// Hashes of ascending nodes: each is looked at once.
class HashCursor {
 public:
  explicit HashCursor(const HeapGraph& graph) : graph_(graph) {}

  std::optional<std::uint32_t> at(NodeIndex node) {
    while (next_ < graph_.hash_node.size() && graph_.hash_node[next_] < node) ++next_;
    if (next_ == graph_.hash_node.size() || graph_.hash_node[next_] != node) return std::nullopt;
    return graph_.text_hash[next_];
  }

 private:
  const HeapGraph& graph_;
  std::size_t next_ = 0;
};

// Types of one name get one number, in both graphs.
class TypeNumbers {
 public:
  explicit TypeNumbers(const HeapGraph& graph) : graph_(graph) {}

  void number(std::unordered_map<std::string_view, std::uint32_t>& known) {
    for (const TypeEntry& type : graph_.types) {
      const auto next = static_cast<std::uint32_t>(known.size());
      numbers_.push_back(known.try_emplace(graph_.strings.text(type.name), next).first->second);
    }
  }
  std::uint32_t of(NodeIndex node) const { return numbers_.at(graph_.type[node]); }

 private:
  const HeapGraph& graph_;
  std::vector<std::uint32_t> numbers_;
};

// Calls gone(node of before), added(node of after) and survived(node of after), in ascending order of address. A node
// that is no object (kNodeSynthetic) is none of these.
template <typename Gone, typename Added, typename Survived>
void match_objects(const HeapGraph& before, const HeapGraph& after, Gone gone, Added added, Survived survived) {
  const auto is_object = [](const HeapGraph& graph, NodeIndex node) {
    return (graph.flags[node] & kNodeSynthetic) == 0;
  };
  std::unordered_map<std::string_view, std::uint32_t> known;
  TypeNumbers old_types(before);
  TypeNumbers new_types(after);
  old_types.number(known);
  new_types.number(known);
  HashCursor old_hashes(before);
  HashCursor new_hashes(after);
  NodeIndex i = 0;
  NodeIndex j = 0;
  const std::size_t old_end = before.address.size();
  const std::size_t new_end = after.address.size();
  while (i < old_end || j < new_end) {
    const bool only_old = j == new_end || (i < old_end && before.address[i] < after.address[j]);
    const bool only_new = !only_old && (i == old_end || after.address[j] < before.address[i]);
    bool same =
        !only_old && !only_new && old_types.of(i) == new_types.of(j) && is_object(before, i) == is_object(after, j);
    if (same) {
      const auto old_hash = old_hashes.at(i);
      const auto new_hash = new_hashes.at(j);
      same = !old_hash || !new_hash || *old_hash == *new_hash;
    }
    if (same && is_object(after, j)) survived(j);
    if (!same && !only_new && is_object(before, i)) gone(i);
    if (!same && !only_old && is_object(after, j)) added(j);
    i += only_new ? 0u : 1u;
    j += only_old ? 0u : 1u;
  }
}

}  // namespace

std::vector<TypeChange> diff_types(const HeapGraph& before, const HeapGraph& after) {
  std::map<std::string_view, TypeChange> changes;
  for (const TypeEntry& type : before.types) {
    TypeTotals& totals = changes[before.strings.text(type.name)].old_totals;
    totals.count += type.count;
    totals.size += type.size;
  }
  for (const TypeEntry& type : after.types) {
    TypeTotals& totals = changes[after.strings.text(type.name)].new_totals;
    totals.count += type.count;
    totals.size += type.size;
  }
  std::vector<TypeChange> result;
  for (auto& [name, change] : changes) {
    if (change.old_totals == TypeTotals{} && change.new_totals == TypeTotals{}) continue;
    change.name = name;
    result.push_back(std::move(change));
  }
  return result;
}

bool same_process(const TargetInfo& a, const TargetInfo& b) {
  return a.pid == b.pid && a.start_time == b.start_time && a.host == b.host;
}

ObjectChanges diff_objects(const HeapGraph& before, const HeapGraph& after) {
  ObjectChanges changes;
  match_objects(
      before, after, [&](NodeIndex node) { add(changes.gone, before.size[node]); },
      [&](NodeIndex node) { add(changes.added, after.size[node]); },
      [&](NodeIndex node) { add(changes.surviving, after.size[node]); });
  return changes;
}

BitSet added_objects(const HeapGraph& before, const HeapGraph& after) {
  BitSet added(after.node_count());
  match_objects(
      before, after, [](NodeIndex) {}, [&](NodeIndex node) { added.set(node); }, [](NodeIndex) {});
  return added;
}

}  // namespace memsnap
