#include "snapshot/analysis/diff.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

namespace memsnap {
namespace {

void add(Totals& totals, std::uint64_t size) {
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

// For each type of a graph the number of its name, the same for both graphs.
std::vector<std::uint32_t> numbered_names(const HeapGraph& graph, std::map<std::string, std::uint32_t>& numbers) {
  std::vector<std::uint32_t> names;
  for (const TypeEntry& type : graph.types) {
    const auto number = static_cast<std::uint32_t>(numbers.size());
    names.push_back(numbers.emplace(graph.strings.text(type.name), number).first->second);
  }
  return names;
}

// Both in ascending order of address: `gone(i)`, `added(j)` and `survived(i, j)` for each object of either.
template <typename Gone, typename Added, typename Survived>
void match_objects(const HeapGraph& before, const HeapGraph& after, Gone gone, Added added, Survived survived) {
  HashCursor old_hashes(before);
  HashCursor new_hashes(after);
  std::map<std::string, std::uint32_t> numbers;
  const auto old_names = numbered_names(before, numbers);
  const auto new_names = numbered_names(after, numbers);
  const auto same_type = [&](NodeIndex i, NodeIndex j) {
    return old_names.at(before.type[i]) == new_names.at(after.type[j]);
  };
  NodeIndex i = 0;
  NodeIndex j = 0;
  const std::size_t old_end = before.address.size();
  const std::size_t new_end = after.address.size();
  while (i < old_end || j < new_end) {
    const bool has_old = i < old_end && (j == new_end || before.address[i] <= after.address[j]);
    const bool has_new = j < new_end && (i == old_end || after.address[j] <= before.address[i]);
    const bool was_object = has_old && before.is_object(i);
    const bool is_one = has_new && after.is_object(j);
    bool same = was_object && is_one && same_type(i, j);
    if (has_old && has_new) {
      const auto old_hash = old_hashes.at(i);
      const auto new_hash = new_hashes.at(j);
      same = same && !(old_hash && new_hash && *old_hash != *new_hash);
    }
    if (same) {
      survived(i, j);
    } else {
      if (was_object) gone(i);
      if (is_one) added(j);
    }
    i += has_old ? 1 : 0;
    j += has_new ? 1 : 0;
  }
}

}  // namespace

std::vector<Change> diff_types(const HeapGraph& before, const HeapGraph& after) {
  std::map<std::string_view, Change> changes;
  for (const TypeEntry& type : before.types) {
    Totals& totals = changes[before.strings.text(type.name)].old_totals;
    totals.count += type.count;
    totals.size += type.size;
  }
  for (const TypeEntry& type : after.types) {
    Totals& totals = changes[after.strings.text(type.name)].new_totals;
    totals.count += type.count;
    totals.size += type.size;
  }
  std::vector<Change> result;
  for (auto& [name, change] : changes) {
    if (change.old_totals == Totals{} && change.new_totals == Totals{}) continue;
    change.name = name;
    result.push_back(std::move(change));
  }
  return result;
}

std::vector<Change> diff_holders(const HeapGraph& before, const HeapGraph& after, const HolderLimits& limits) {
  std::map<HolderPath, Change> changes;
  for (const auto& [path, totals] : holder_totals(before, limits)) changes[path].old_totals = totals;
  for (const auto& [path, totals] : holder_totals(after, limits)) changes[path].new_totals = totals;
  std::vector<Change> result;
  for (auto& [path, change] : changes) {
    std::tie(change.name, change.type) = path;
    result.push_back(std::move(change));
  }
  return result;
}

std::vector<Change> diff_memory(const MemoryTotals& before, const MemoryTotals& after) {
  const auto part = [](const char* name, std::uint64_t old_size, std::uint64_t new_size) {
    return Change{.name = name, .type = {}, .old_totals = {0, old_size}, .new_totals = {0, new_size}};
  };
  std::vector<Change> changes{part("rss", before.rss, after.rss), part("pss", before.pss, after.pss),
                              part("uss", before.uss, after.uss)};
  if (before.parts.empty() || after.parts.empty()) {  // files of before they were measured
    changes.push_back(part("python objects", before.python_objects, after.python_objects));
    return changes;
  }
  for (const char* name : kMemoryParts) {
    if (before.part(name) != 0 || after.part(name) != 0) {
      changes.push_back(part(name, before.part(name), after.part(name)));
    }
  }
  return changes;
}

bool same_process(const TargetInfo& a, const TargetInfo& b) {
  return a.pid == b.pid && a.start_time == b.start_time && a.host == b.host;
}

ObjectChanges diff_objects(const HeapGraph& before, const HeapGraph& after) {
  ObjectChanges changes;
  match_objects(
      before, after, [&](NodeIndex i) { add(changes.gone, before.size[i]); },
      [&](NodeIndex j) { add(changes.added, after.size[j]); },
      [&](NodeIndex i, NodeIndex j) {
        add(changes.surviving, after.size[j]);
        if (after.size[j] > before.size[i]) add(changes.grown, after.size[j] - before.size[i]);
      });
  return changes;
}

BitSet added_objects(const HeapGraph& before, const HeapGraph& after) {
  BitSet added(after.node_count());
  match_objects(
      before, after, [](NodeIndex) {}, [&](NodeIndex j) { added.set(j); }, [](NodeIndex, NodeIndex) {});
  return added;
}

}  // namespace memsnap
