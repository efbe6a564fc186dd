#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace memsnap {

// A small expression over named numbers, as options take it: "delta > 50MiB and delta_percent > 10".
// or, and, not, == != < <= > >=, + - * /, parentheses; numbers may have a unit of size: 4096, 64KiB, 1.5MB.
class Expression {
 public:
  // Throws Error kUsage, saying where, for what is none, and for a name that is not among `names`.
  static Expression parse(std::string_view text, const std::vector<std::string>& names);
  ~Expression();
  Expression(const Expression&) = delete;
  Expression& operator=(const Expression&) = delete;
  Expression(Expression&&) noexcept;
  Expression& operator=(Expression&&) noexcept;

  // True and false are 1 and 0; a division by zero is not a number, which is larger than nothing.
  double value(const std::function<double(const std::string&)>& value_of) const;
  bool holds(const std::function<double(const std::string&)>& value_of) const { return value(value_of) > 0; }
  const std::string& text() const { return text_; }

  struct Node;

 private:
  Expression();
  std::string text_;
  std::unique_ptr<Node> root_;
};

}  // namespace memsnap
