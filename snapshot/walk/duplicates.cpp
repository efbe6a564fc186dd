#include "snapshot/walk/duplicates.h"

#include <tsl/robin_set.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace memsnap {
namespace {

constexpr std::uint64_t kMostRead = 1u << 20;
constexpr std::size_t kPiece = 16u << 10;
constexpr std::uint64_t kSpread = 0x9e3779b97f4a7c15;  // 2^64 divided by the golden ratio

class DuplicateCounter {
 public:
  explicit DuplicateCounter(const ObjectReader& reader) : reader_(reader), piece_(kPiece) {}

  void add(std::uint64_t object, ValueKind kind, std::uint64_t size) {
    const auto place = kind == ValueKind::kText ? reader_.characters_of(object) : reader_.bytes_of(object);
    if (!place) return;
    const auto value = hash(*place);
    if (!value || seen_.insert(*value ^ static_cast<std::uint64_t>(kind)).second) return;
    Totals& totals = totals_[static_cast<std::size_t>(kind)];
    ++totals.count;
    totals.bytes += size;
  }

  std::vector<NamedCount> result() const {
    std::vector<NamedCount> found;
    for (const auto& [kind, name] :
         {std::pair{ValueKind::kText, "builtins.str"}, {ValueKind::kBytes, "builtins.bytes"}}) {
      const Totals& totals = totals_[static_cast<std::size_t>(kind)];
      if (totals.count != 0) found.push_back({name, totals.count, totals.bytes});
    }
    return found;
  }

 private:
  struct Totals {
    std::uint64_t count = 0;
    std::uint64_t bytes = 0;
  };

  // Of 64 bits: among a hundred million values two different ones meet by chance once in 3,700 snapshots.
  std::optional<std::uint64_t> hash(const ValuePlace& place) {
    std::uint64_t value = place.count * kSpread + place.unit;
    const std::uint64_t size = std::min(place.count * place.unit, kMostRead);
    for (std::uint64_t at = 0; at < size; at += kPiece) {
      const std::size_t length = std::min<std::uint64_t>(kPiece, size - at);
      if (!reader_.memory().copy(place.address + at, std::as_writable_bytes(std::span(piece_).first(length)))) {
        return std::nullopt;
      }
      value = (value ^ std::hash<std::string_view>()({piece_.data(), length})) * kSpread;
    }
    return value;
  }

  const ObjectReader& reader_;
  std::vector<char> piece_;
  tsl::robin_set<std::uint64_t> seen_;
  std::array<Totals, 3> totals_;
};

}  // namespace

std::vector<NamedCount> count_duplicates(const HeapGraph& graph, const ObjectReader& reader,
                                         const std::vector<ValueKind>& kinds) {
  DuplicateCounter counter(reader);
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    const TypeId type = graph.type[node];
    if (type >= kinds.size() || kinds[type] == ValueKind::kNone) continue;
    counter.add(graph.address[node], kinds[type], graph.size[node]);
  }
  return counter.result();
}

}  // namespace memsnap
