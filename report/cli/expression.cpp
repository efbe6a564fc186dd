#include "report/cli/expression.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include "attach/base/error.h"
#include "report/cli/value_types.h"

namespace memsnap {

struct Expression::Node {
  std::string operation;  // "" : a number, "name": a name, else an operator
  double number = 0;
  std::string name;
  std::unique_ptr<Node> left;
  std::unique_ptr<Node> right;
};

namespace {

using Node = Expression::Node;
using NodePtr = std::unique_ptr<Node>;

constexpr int kMaxDepth = 100;
constexpr std::size_t kMaxLength = 1000;  // a chain of operators is as deep as it is long
constexpr std::array<std::string_view, 6> kComparisons{"==", "!=", "<=", ">=", "<", ">"};

bool in_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Recursive descent; the depth is bounded.
class Parser {
 public:
  Parser(std::string_view text, const std::vector<std::string>& names) : text_(text), names_(names) {}

  NodePtr parse() {
    if (text_.size() > kMaxLength) fail("too long");
    NodePtr whole = disjunction();
    skip_space();
    if (at_ != text_.size()) fail("nothing more was expected");
    return whole;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    throw Error(
        ExitCode::kUsage, fmt::format("'{}', at character {}: {}", text_, at_ + 1, what),
        fmt::format("an expression such as '{} > 50MiB'; the names are {}", names_.front(), fmt::join(names_, ", ")));
  }

  void skip_space() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0) ++at_;
  }

  bool take(std::string_view token) {
    skip_space();
    if (!text_.substr(at_).starts_with(token)) return false;
    const std::size_t end = at_ + token.size();
    if (in_word(token.back()) && end < text_.size() && in_word(text_[end])) return false;
    at_ = end;
    return true;
  }

  static NodePtr make(std::string_view operation, NodePtr left, NodePtr right) {
    auto node = std::make_unique<Node>();
    node->operation = operation;
    node->left = std::move(left);
    node->right = std::move(right);
    return node;
  }

  NodePtr disjunction() {
    NodePtr left = conjunction();
    while (take("or")) left = make("or", std::move(left), conjunction());
    return left;
  }

  NodePtr conjunction() {
    NodePtr left = negation();
    while (take("and")) left = make("and", std::move(left), negation());
    return left;
  }

  NodePtr negation() {
    if (!take("not")) return comparison();
    return make("not", deeper(&Parser::negation), nullptr);
  }

  NodePtr comparison() {
    NodePtr left = sum();
    for (const std::string_view operation : kComparisons) {
      if (take(operation)) return make(operation, std::move(left), sum());
    }
    return left;
  }

  NodePtr sum() {
    NodePtr left = product();
    for (;;) {
      if (take("+")) {
        left = make("+", std::move(left), product());
      } else if (take("-")) {
        left = make("-", std::move(left), product());
      } else {
        return left;
      }
    }
  }

  NodePtr product() {
    NodePtr left = primary();
    for (;;) {
      if (take("*")) {
        left = make("*", std::move(left), primary());
      } else if (take("/")) {
        left = make("/", std::move(left), primary());
      } else {
        return left;
      }
    }
  }

  NodePtr primary() {
    if (take("(")) {
      NodePtr inside = deeper(&Parser::disjunction);
      if (!take(")")) fail("a ) is missing");
      return inside;
    }
    if (take("-")) return make("-", std::make_unique<Node>(), deeper(&Parser::primary));
    skip_space();
    std::size_t end = at_;
    while (end < text_.size() && (in_word(text_[end]) || text_[end] == '.')) ++end;
    const std::string word(text_.substr(at_, end - at_));
    if (word.empty()) fail("a number or a name was expected");
    auto node = std::make_unique<Node>();
    if (std::isdigit(static_cast<unsigned char>(word.front())) != 0) {
      node->number = number(word);
    } else {
      if (std::find(names_.begin(), names_.end(), word) == names_.end()) fail(fmt::format("'{}' is unknown", word));
      node->operation = "name";
      node->name = word;
    }
    at_ = end;
    return node;
  }

  double number(const std::string& word) const {
    std::size_t used = 0;
    try {
      const double plain = std::stod(word, &used);
      if (used == word.size()) return plain;
    } catch (const std::exception&) {
      used = 0;
    }
    const auto size = parse_byte_count(word);
    if (!size) fail(fmt::format("'{}' is no number or size", word));
    return static_cast<double>(size->value);
  }

  NodePtr deeper(NodePtr (Parser::*rule)()) {
    if (++depth_ > kMaxDepth) fail("too deep");
    NodePtr node = (this->*rule)();
    --depth_;
    return node;
  }

  std::string_view text_;
  const std::vector<std::string>& names_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

double truth(bool value) { return value ? 1 : 0; }

double evaluate(const Node& node, const std::function<double(const std::string&)>& value_of) {
  const std::string& operation = node.operation;
  if (operation.empty()) return node.number;
  if (operation == "name") return value_of(node.name);
  const double left = evaluate(*node.left, value_of);
  if (operation == "not") return truth(!(left > 0));
  if (operation == "or" && left > 0) return 1;
  if (operation == "and" && !(left > 0)) return 0;
  const double right = evaluate(*node.right, value_of);
  if (operation == "or" || operation == "and") return truth(right > 0);
  if (operation == "==") return truth(left == right);
  if (operation == "!=") return truth(left != right);
  if (operation == "<=") return truth(left <= right);
  if (operation == ">=") return truth(left >= right);
  if (operation == "<") return truth(left < right);
  if (operation == ">") return truth(left > right);
  if (operation == "+") return left + right;
  if (operation == "-") return left - right;
  return operation == "*" ? left * right : left / right;
}

}  // namespace

Expression::Expression() = default;
Expression::~Expression() = default;
Expression::Expression(Expression&&) noexcept = default;
Expression& Expression::operator=(Expression&&) noexcept = default;

Expression Expression::parse(std::string_view text, const std::vector<std::string>& names) {
  Expression expression;
  expression.text_ = text;
  expression.root_ = Parser(text, names).parse();
  return expression;
}

double Expression::value(const std::function<double(const std::string&)>& value_of) const {
  return evaluate(*root_, value_of);
}

}  // namespace memsnap
