#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace memsnap {

struct TypeTotals {
  std::uint64_t count = 0;
  std::uint64_t size = 0;

  bool operator==(const TypeTotals&) const = default;
};

// All types of one name, in two snapshots; zero where there was none.
struct TypeChange {
  std::string name;
  TypeTotals old_totals;
  TypeTotals new_totals;

  std::int64_t size_delta() const { return static_cast<std::int64_t>(new_totals.size - old_totals.size); }
  std::int64_t count_delta() const { return static_cast<std::int64_t>(new_totals.count - old_totals.count); }
};

// Objects matched by address, type name and, where both kept one, the hash of their text.
struct ObjectChanges {
  TypeTotals added;
  TypeTotals gone;
  TypeTotals surviving;  // with their new size
  TypeTotals grown;      // of those: the ones larger than before, with the bytes that they grew
};

}  // namespace memsnap
