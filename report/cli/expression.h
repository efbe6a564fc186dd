#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace memsnap {

// kTime: seconds since the epoch; compared with a text it is read as UTC, "2026-11-21T02:15".
enum class ValueType { kNumber, kText, kTime };

struct ExpressionName {
  std::string name;
  ValueType type = ValueType::kNumber;
};

using ExpressionValue = std::variant<double, std::string>;

// A small expression over named values, as options take it: "delta > 50MiB and delta_percent > 10".
// or, and, not, == != < <= > >=, + - * /, parentheses; numbers may have a unit of size: 4096, 64KiB, 1.5MB.
// Texts: "..." and '...', compared with each other; ~ "REGEX", ~* without regard to case.
// lower(text) upper(text) round(number[, digits]) MB(number).
class Expression {
 public:
  // Throws Error kUsage, saying where, for what is none, for a name that is not among `names`, and for a text where a
  // number is wanted.
  static Expression parse(std::string_view text, const std::vector<std::string>& names);  // all numbers
  static Expression parse_typed(std::string_view text, const std::vector<ExpressionName>& names);
  ~Expression();
  Expression(const Expression&) = delete;
  Expression& operator=(const Expression&) = delete;
  Expression(Expression&&) noexcept;
  Expression& operator=(Expression&&) noexcept;

  // Of an expression of numbers. True and false are 1 and 0; a division by zero is not a number, which is larger than
  // nothing.
  double value(const std::function<double(const std::string&)>& value_of) const;
  bool holds(const std::function<double(const std::string&)>& value_of) const { return value(value_of) > 0; }

  // Of any. `value_of` gives a name the type it was declared with; what is not known is not a number (NaN).
  using Values = std::function<ExpressionValue(const std::string&)>;
  ExpressionValue result(const Values& value_of) const;
  bool accepts(const Values& value_of) const;  // of a number: whether it holds
  ValueType type() const;
  const std::string& text() const { return text_; }

  struct Node;

 private:
  Expression();
  std::string text_;
  std::unique_ptr<Node> root_;
};

// Seconds since the epoch of "2026-11-21", "2026-11-21T02:15", "2026-11-21 02:15:04Z": UTC. Empty: it is none.
std::optional<double> parse_utc(const std::string& text);

}  // namespace memsnap
