#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "report/cli/expression.h"
#include "report/cli/pattern.h"

namespace memsnap {

struct Expression::Node {
  std::string operation;  // "": a number, "text": a text, "name": a name, "round(": a function, else an operator
  ValueType type = ValueType::kNumber;
  double number = 0;
  std::string text;  // a text, or a name
  std::unique_ptr<Pattern> pattern;
  std::unique_ptr<Node> left;
  std::unique_ptr<Node> right;
};

// Throws Error kUsage.
std::unique_ptr<Expression::Node> parse_expression(std::string_view text, const std::vector<ExpressionName>& names);

}  // namespace memsnap
