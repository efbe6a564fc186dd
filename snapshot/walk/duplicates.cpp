#include "snapshot/walk/duplicates.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <string_view>

namespace memsnap {
namespace {

constexpr std::uint64_t kMostRead = 1u << 20;
constexpr std::uint64_t kMostElsewhere = 1u << 30;
constexpr std::size_t kPiece = 16u << 10;
constexpr std::uint64_t kSpread = 0x9e3779b97f4a7c15;  // 2^64 divided by the golden ratio

__extension__ using Wide = unsigned __int128;

// Numbers seen, but for 0: open addressing, with room for half as many again.
class NumbersSeen {
 public:
  explicit NumbersSeen(std::size_t most) : slots_(most + most / 2 + 1) {}

  void prefetch(std::uint64_t number) const { __builtin_prefetch(&slots_[first_slot(number)]); }

  // False when it was there before.
  bool add(std::uint64_t number) {
    std::size_t at = first_slot(number);
    for (; slots_[at] != 0; at = at + 1 < slots_.size() ? at + 1 : 0) {
      if (slots_[at] == number) return false;
    }
    slots_[at] = number;
    return true;
  }

 private:
  // The upper half of a product: evenly over any number of slots, for numbers that are hashes.
  std::size_t first_slot(std::uint64_t number) const {
    return static_cast<std::size_t>((static_cast<Wide>(number) * slots_.size()) >> 64);
  }

  std::vector<std::uint64_t> slots_;
};

class DuplicateCounter {
 public:
  DuplicateCounter(const ObjectReader& reader, std::size_t values)
      : reader_(reader), seen_(values), piece_(kPiece), elsewhere_left_(kMostElsewhere) {}

  // `limit`: where the next object begins, into which no true value reaches.
  void add(std::uint64_t object, std::uint64_t limit, ValueKind kind, std::uint64_t size) {
    const auto place = kind == ValueKind::kText ? reader_.characters_of(object) : reader_.bytes_of(object);
    if (!place || !plausible(*place, object, limit)) return;
    const auto value = hash(*place);
    if (!value) return;
    const std::uint64_t number = spread(*value ^ static_cast<std::uint64_t>(kind));
    seen_.prefetch(number);
    waiting_[waiting_count_++] = {number, size, kind};
    if (waiting_count_ == waiting_.size()) settle();
  }

  std::vector<NamedCount> result() {
    settle();
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
  struct Waiting {
    std::uint64_t number = 0;
    std::uint64_t size = 0;
    ValueKind kind = ValueKind::kNone;
  };

  // Every bit of the result depends on every bit of the value; never 0.
  static std::uint64_t spread(std::uint64_t value) {
    value ^= value >> 32;
    value *= kSpread;
    value ^= value >> 29;
    return value == 0 ? 1 : value;
  }

  // So that forged lengths cannot make more work than there is memory. Characters may lie elsewhere (strings made by
  // old C interfaces): those have a limit in all.
  bool plausible(const ValuePlace& place, std::uint64_t object, std::uint64_t limit) {
    const std::uint64_t size = place.count * place.unit;
    if (place.address >= object && place.address < limit) return size <= limit - place.address;
    const std::uint64_t read = std::min(size, kMostRead);
    if (read > elsewhere_left_) return false;
    elsewhere_left_ -= read;
    return true;
  }

  // By the time they are looked up, their places in the table are in the processor's cache.
  void settle() {
    for (const Waiting& value : std::span(waiting_).first(waiting_count_)) {
      if (seen_.add(value.number)) continue;
      Totals& totals = totals_[static_cast<std::size_t>(value.kind)];
      ++totals.count;
      totals.bytes += value.size;
    }
    waiting_count_ = 0;
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
  std::uint64_t elsewhere_left_;
  std::array<Waiting, 64> waiting_;
  std::size_t waiting_count_ = 0;
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
    const std::uint64_t next = node + 1 < graph.node_count() ? graph.address[node + 1] : ~std::uint64_t{0};
    counter.add(graph.address[node], next, kinds[type], graph.size[node]);
  }
  return counter.result();
}

}  // namespace memsnap
