#include "snapshot/analysis/containment_groups.h"

#include <algorithm>
#include <iterator>
#include <tuple>
#include <utility>

namespace memsnap {
namespace {

constexpr std::size_t kMaxKeys = 4096;   // told apart while sorting
constexpr std::size_t kMaxNamed = 16;    // lines for attributes, locals, fields of one type
constexpr std::size_t kMaxNumbered = 3;  // lines for items and dict entries of one type

bool has_names(LinkKind kind) { return kind != LinkKind::kItem && kind != LinkKind::kValue; }

void append(Siblings& to, Siblings&& from) {
  to.nodes.insert(to.nodes.end(), from.nodes.begin(), from.nodes.end());
  to.retained += from.retained;
  to.many_keys = true;
}

}  // namespace

void SiblingSorter::add(LinkKind kind, std::uint64_t key, NodeIndex node, std::uint64_t retained) {
  const TypeId type = graph_.type[node];
  const std::uint64_t both = static_cast<std::uint64_t>(kind) << 32 | type;
  const auto [place, is_new] = by_kind_and_type_.try_emplace(both, alike_.size());
  if (is_new) {
    alike_.emplace_back();
    alike_.back().rest = {.kind = kind, .type = type, .many_keys = true, .nodes = {}};
  }
  Alike& alike = alike_[place->second];
  Siblings* line = &alike.rest;
  if (const auto known = alike.by_key.find(key); known != alike.by_key.end()) {
    line = &alike.lines[known->second];
  } else if (alike.lines.size() < kMaxKeys || (retained >= big_ && big_ != 0)) {
    alike.by_key.emplace(key, alike.lines.size());
    line = &alike.lines.emplace_back(Siblings{.kind = kind, .type = type, .key = key, .nodes = {}});
  }
  line->nodes.push_back(node);
  line->retained += retained;
}

void SiblingSorter::take_from(Alike& alike, std::vector<Siblings>& out) const {
  auto& lines = alike.lines;
  std::stable_sort(lines.begin(), lines.end(), [](const Siblings& a, const Siblings& b) {
    return std::tuple(b.retained, a.key) < std::tuple(a.retained, b.key);
  });
  const auto small = std::find_if(lines.begin(), lines.end(), [&](const Siblings& l) { return l.retained < big_; });
  auto kept = static_cast<std::size_t>(small - lines.begin());
  const bool named = has_names(alike.rest.kind);
  if (kept > (named ? kMaxNamed : kMaxNumbered)) kept = named ? kMaxNamed : 0;
  // What would be alone among the rest keeps its name.
  if (alike.rest.nodes.empty() && lines.size() - kept == 1) kept = lines.size();
  for (std::size_t i = kept; i < lines.size(); ++i) append(alike.rest, std::move(lines[i]));
  std::move(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(kept), std::back_inserter(out));
  if (!alike.rest.nodes.empty()) out.push_back(std::move(alike.rest));
}

std::vector<Siblings> SiblingSorter::take() {
  std::vector<Siblings> all;
  for (Alike& alike : alike_) take_from(alike, all);
  alike_.clear();
  by_kind_and_type_.clear();
  const auto order = [](const Siblings& s) { return std::tuple(s.kind, s.type, s.many_keys, s.key); };
  std::sort(all.begin(), all.end(), [&](const Siblings& a, const Siblings& b) {
    return a.retained != b.retained ? a.retained > b.retained : order(a) < order(b);
  });
  return all;
}

}  // namespace memsnap
