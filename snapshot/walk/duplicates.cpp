#include "snapshot/walk/duplicates.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace memsnap {
namespace {

constexpr std::uint64_t kMostRead = 1u << 20;
constexpr std::size_t kPiece = 16u << 10;
constexpr std::uint64_t kSpread = 0x9e3779b97f4a7c15;  // 2^64 divided by the golden ratio

__extension__ using Wide = unsigned __int128;

// Numbers seen, but for 0: open addressing, with room for half as many again.
class NumbersSeen {
 public:
  explicit NumbersSeen(std::size_t most) : slots_(most + most / 2 + 1) {}

  // False when it was there before.
  bool add(std::uint64_t number) {
    // The upper half of a product: evenly over any number of slots, for numbers that are hashes.
    auto at = static_cast<std::size_t>((static_cast<Wide>(number) * slots_.size()) >> 64);
    for (; slots_[at] != 0; at = at + 1 < slots_.size() ? at + 1 : 0) {
      if (slots_[at] == number) return false;
    }
    slots_[at] = number;
    return true;
  }

 private:
  std::vector<std::uint64_t> slots_;
};

class DuplicateCounter {
 public:
  DuplicateCounter(const ObjectReader& reader, std::size_t values) : reader_(reader), seen_(values), piece_(kPiece) {}

  void add(std::uint64_t object, ValueKind kind, std::uint64_t size) {
    const auto place = kind == ValueKind::kText ? reader_.characters_of(object) : reader_.bytes_of(object);
    if (!place) return;
    const auto value = hash(*place);
    if (!value || seen_.add(spread(*value ^ static_cast<std::uint64_t>(kind)))) return;
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

  // Every bit of the result depends on every bit of the value; never 0.
  static std::uint64_t spread(std::uint64_t value) {
    value ^= value >> 32;
    value *= kSpread;
    value ^= value >> 29;
    return value == 0 ? 1 : value;
  }

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
  NumbersSeen seen_;
  std::vector<char> piece_;
  std::array<Totals, 3> totals_;
};

}  // namespace

std::vector<NamedCount> count_duplicates(const HeapGraph& graph, const ObjectReader& reader,
                                         const std::vector<ValueKind>& kinds) {
  std::uint64_t values = 0;
  for (const TypeId type : graph.type) values += type < kinds.size() && kinds[type] != ValueKind::kNone ? 1u : 0u;
  DuplicateCounter counter(reader, values);
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    const TypeId type = graph.type[node];
    if (type >= kinds.size() || kinds[type] == ValueKind::kNone) continue;
    counter.add(graph.address[node], kinds[type], graph.size[node]);
  }
  return counter.result();
}

}  // namespace memsnap
