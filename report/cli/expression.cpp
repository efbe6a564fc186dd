#include "report/cli/expression.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "report/cli/expression_parser.h"

namespace memsnap {
namespace {

using Node = Expression::Node;

constexpr double kMebi = 1024.0 * 1024.0;
constexpr double kMostDigits = 15;

double truth(bool value) { return value ? 1 : 0; }

double number_of(const ExpressionValue& value) {
  const auto* const number = std::get_if<double>(&value);
  return number == nullptr ? std::nan("") : *number;
}

std::string text_of(const ExpressionValue& value) {
  const auto* const text = std::get_if<std::string>(&value);
  return text == nullptr ? "" : *text;
}

template <typename T>
bool compared(const std::string& operation, const T& left, const T& right) {
  if (operation == "==") return left == right;
  if (operation == "!=") return left != right;
  if (operation == "<=") return left <= right;
  if (operation == ">=") return left >= right;
  return operation == "<" ? left < right : left > right;
}

std::string with_case(std::string text, bool upper) {
  std::transform(text.begin(), text.end(), text.begin(), [upper](char c) {
    if (upper && c >= 'a' && c <= 'z') return static_cast<char>(c - 'a' + 'A');
    return !upper && c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

double rounded(double value, double digits) {
  const double factor = std::pow(10.0, std::clamp(digits, -kMostDigits, kMostDigits));
  return std::round(value * factor) / factor;
}

ExpressionValue evaluate(const Node& node, const Expression::Values& value_of) {
  const std::string& operation = node.operation;
  if (operation.empty()) return node.number;
  if (operation == "text") return node.text;
  if (operation == "name") return value_of(node.text);
  const ExpressionValue left = evaluate(*node.left, value_of);
  if (operation == "~") return truth(node.pattern->matches(text_of(left)));
  if (operation == "lower(" || operation == "upper(") return with_case(text_of(left), operation == "upper(");
  if (operation == "MB(") return number_of(left) / kMebi;
  if (operation == "not") return truth(!(number_of(left) > 0));
  if (operation == "or" && number_of(left) > 0) return 1.0;
  if (operation == "and" && !(number_of(left) > 0)) return 0.0;
  const ExpressionValue right = node.right ? evaluate(*node.right, value_of) : ExpressionValue(0.0);
  if (operation == "round(") return rounded(number_of(left), number_of(right));
  if (operation == "or" || operation == "and") return truth(number_of(right) > 0);
  if (operation == "+") return number_of(left) + number_of(right);
  if (operation == "-") return number_of(left) - number_of(right);
  if (operation == "*") return number_of(left) * number_of(right);
  if (operation == "/") return number_of(left) / number_of(right);
  if (node.left->type == ValueType::kText) return truth(compared(operation, text_of(left), text_of(right)));
  return truth(compared(operation, number_of(left), number_of(right)));
}

}  // namespace

Expression::Expression() = default;
Expression::~Expression() = default;
Expression::Expression(Expression&&) noexcept = default;
Expression& Expression::operator=(Expression&&) noexcept = default;

Expression Expression::parse(std::string_view text, const std::vector<std::string>& names) {
  std::vector<ExpressionName> numbers;
  numbers.reserve(names.size());
  for (const std::string& name : names) numbers.push_back({name, ValueType::kNumber});
  return parse_typed(text, numbers);
}

Expression Expression::parse_typed(std::string_view text, const std::vector<ExpressionName>& names) {
  Expression expression;
  expression.text_ = text;
  expression.root_ = parse_expression(text, names);
  return expression;
}

double Expression::value(const std::function<double(const std::string&)>& value_of) const {
  return number_of(evaluate(*root_, [&value_of](const std::string& name) { return value_of(name); }));
}

ExpressionValue Expression::result(const Values& value_of) const { return evaluate(*root_, value_of); }

bool Expression::accepts(const Values& value_of) const { return number_of(evaluate(*root_, value_of)) > 0; }

ValueType Expression::type() const { return root_->type; }

}  // namespace memsnap
