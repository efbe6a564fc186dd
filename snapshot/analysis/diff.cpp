#include "snapshot/analysis/diff.h"

#include <map>
#include <optional>
#include <string_view>
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
  HashCursor old_hashes(before);
  HashCursor new_hashes(after);
  NodeIndex i = 0;
  NodeIndex j = 0;
  const std::size_t old_end = before.address.size();
  const std::size_t new_end = after.address.size();
  while (i < old_end || j < new_end) {
    if (j == new_end || (i < old_end && before.address[i] < after.address[j])) {
      if ((before.flags[i] & kNodeSynthetic) == 0) add(changes.gone, before.size[i]);
      ++i;
      continue;
    }
    if (i == old_end || after.address[j] < before.address[i]) {
      if ((after.flags[j] & kNodeSynthetic) == 0) add(changes.added, after.size[j]);
      ++j;
      continue;
    }
    const auto old_hash = old_hashes.at(i);
    const auto new_hash = new_hashes.at(j);
    const bool reused = before.type_name(i) != after.type_name(j) || (old_hash && new_hash && *old_hash != *new_hash);
    const bool was_object = (before.flags[i] & kNodeSynthetic) == 0;
    const bool is_object = (after.flags[j] & kNodeSynthetic) == 0;
    if (reused || was_object != is_object) {
      if (was_object) add(changes.gone, before.size[i]);
      if (is_object) add(changes.added, after.size[j]);
    } else if (is_object) {
      add(changes.surviving, after.size[j]);
    }
    ++i;
    ++j;
  }
  return changes;
}

}  // namespace memsnap
