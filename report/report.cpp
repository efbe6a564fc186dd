#include "report/report.h"

namespace memsnap {

Line& Line::add(CellKind kind, Cell cell, Emphasis emphasis) {
  Span& span = spans_.emplace_back();
  span.kind = kind;
  span.cell = std::move(cell);
  span.emphasis = emphasis;
  return *this;
}

Line& Line::text(std::string value, Emphasis emphasis) { return add(CellKind::kText, std::move(value), emphasis); }

Line& Line::name(std::string value, Emphasis emphasis) { return add(CellKind::kName, std::move(value), emphasis); }

Line& Line::type(std::string value) { return add(CellKind::kTypeName, std::move(value), Emphasis::kNone); }

Line& Line::count(std::uint64_t value) { return add(CellKind::kCount, value, Emphasis::kNone); }

Line& Line::bytes(std::uint64_t value) { return add(CellKind::kBytes, value, Emphasis::kNone); }

Line& Line::growth(std::int64_t bytes) { return add(CellKind::kGrowth, bytes, Emphasis::kNone); }

}  // namespace memsnap
