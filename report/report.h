#pragma once

#include <cstdint>
#include <iosfwd>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "report/json_output.h"
#include "snapshot/analysis/containment.h"

namespace memsnap {

// How people are shown a value. Machines (JSON, CSV) always get the plain one.
enum class CellKind : std::uint8_t {
  kText,      // escaped, never cut
  kName,      // escaped, cut in the middle when the line is too long
  kTypeName,  // as kName; "builtins." is left out
  kNumber,    // 402118, a name rather than an amount
  kCount,     // 402,118
  kBytes,     // 18.4 MiB, in the reader's units
  kPercent,   // 37
  kChange,    // +402,118
  kGrowth,    // +18.4 MiB, in the reader's units
  kBar,       // a share of 1, drawn
};

using Cell = std::variant<std::monostate, std::uint64_t, std::int64_t, double, std::string>;

enum class Emphasis : std::uint8_t { kNone, kStrong, kFaint, kGood, kWarning, kBad };

struct Span {
  CellKind kind = CellKind::kText;
  Cell cell;
  Emphasis emphasis = Emphasis::kNone;
};

// One line of text for people.
class Line {
 public:
  Line& text(std::string value, Emphasis emphasis = Emphasis::kNone);
  Line& name(std::string value, Emphasis emphasis = Emphasis::kNone);
  Line& type(std::string value);
  Line& count(std::uint64_t value);
  Line& bytes(std::uint64_t value);
  Line& growth(std::int64_t bytes);
  const std::vector<Span>& spans() const { return spans_; }

 private:
  Line& add(CellKind kind, Cell cell, Emphasis emphasis);

  std::vector<Span> spans_;
};

struct Column {
  std::string key;    // in JSON and CSV; "old.size" is the member "size" of an object "old" in JSON
  std::string title;  // over the column, for people
  CellKind kind = CellKind::kText;
  bool machines_only = false;
};

struct Table {
  std::string key;       // of the array in JSON: "types"
  std::string row_kind;  // of a line in JSONL: "type"
  std::vector<Column> columns;
  std::vector<std::vector<Cell>> rows;       // as many cells as columns
  std::vector<std::size_t> machine_columns;  // which columns JSON and CSV have, and in which order
  std::vector<Emphasis> emphasis;            // of each row; may be shorter than rows
};

struct Tree {
  std::string key;              // of the array in JSON: "nodes"
  bool of_calls = false;        // lines are calls: machines get function, file, line, own, total, count
  std::uint64_t total = 0;      // what 100 % is
  std::vector<TreeNode> roots;  // largest first
  std::uint64_t hidden_count = 0;
  std::uint64_t hidden_retained = 0;
};

// What a command has to say, finished: no clock, no process and no terminal is asked afterwards.
struct Report {
  std::string schema;  // "memsnap.summary/1"
  FactObject facts;
  std::vector<Line> headline;
  std::optional<Table> table;
  std::vector<Line> between;  // under the table, above the tree
  std::optional<Tree> tree;
  std::vector<Line> footer;
};

}  // namespace memsnap
