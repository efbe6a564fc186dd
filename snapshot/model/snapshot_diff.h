#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace memsnap {

struct Totals {
  std::uint64_t count = 0;
  std::uint64_t size = 0;

  bool operator==(const Totals&) const = default;
};

// The same thing in two snapshots: all types of one name, what one path holds, a part of the memory. Zero where it was
// not there.
struct Change {
  std::string name;
  std::string type;  // of what a path leads to; else empty
  Totals old_totals;
  Totals new_totals;

  std::int64_t size_delta() const { return static_cast<std::int64_t>(new_totals.size - old_totals.size); }
  std::int64_t count_delta() const { return static_cast<std::int64_t>(new_totals.count - old_totals.count); }
};

// Objects matched by address, type name and, where both kept one, the hash of their text.
struct ObjectChanges {
  Totals added;
  Totals gone;
  Totals surviving;  // with their new size
  Totals grown;      // of those: the ones larger than before, with the bytes that they grew
};

// One thing in a row of snapshots, oldest first.
struct Series {
  std::string name;
  std::string type;  // of what a path leads to; else empty
  std::vector<Totals> steps;
};

// How a series went up: a straight line fitted by least squares.
struct Growth {
  Series series;
  std::size_t grown_steps = 0;  // in which it got larger
  double bytes_per_second = 0;
  double count_per_second = 0;
  double fit = 0;  // R² of the sizes: 1 is a straight line
};

}  // namespace memsnap
