#include "report/cli/expression_parser.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <ctime>
#include <utility>

#include "attach/base/error.h"
#include "report/cli/value_types.h"

namespace memsnap {
namespace {

using Node = Expression::Node;
using NodePtr = std::unique_ptr<Node>;

constexpr int kMaxDepth = 100;
constexpr std::size_t kMaxLength = 1000;  // a chain of operators is as deep as it is long
constexpr std::array<std::string_view, 6> kComparisons{"==", "!=", "<=", ">=", "<", ">"};
constexpr std::array<std::string_view, 4> kFunctions{"lower", "upper", "round", "MB"};

bool in_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

// Recursive descent; the depth is bounded.
class Parser {
 public:
  Parser(std::string_view text, const std::vector<ExpressionName>& names) : text_(text), names_(names) {}

  NodePtr parse() {
    if (text_.size() > kMaxLength) fail("too long");
    NodePtr whole = disjunction();
    skip_space();
    if (at_ != text_.size()) fail("nothing more was expected");
    return whole;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    std::vector<std::string> names;
    for (const ExpressionName& name : names_) names.push_back(name.name);
    const auto number = std::find_if(names_.begin(), names_.end(), [](const ExpressionName& name) {
      return name.type == ValueType::kNumber && name.name.size() > 1;
    });
    throw Error(ExitCode::kUsage, fmt::format("'{}', at character {}: {}", text_, at_ + 1, what),
                fmt::format("an expression such as '{} > 50MiB'; the names are {}",
                            number == names_.end() ? names_.front().name : number->name, fmt::join(names, ", ")));
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

  NodePtr number_wanted(NodePtr node) const {
    if (node->type == ValueType::kText) fail("a text stands where a number was expected");
    return node;
  }

  NodePtr of_numbers(std::string_view operation, NodePtr left, NodePtr right) const {
    return make(operation, number_wanted(std::move(left)), number_wanted(std::move(right)));
  }

  NodePtr disjunction() {
    NodePtr left = conjunction();
    while (take("or")) left = of_numbers("or", std::move(left), conjunction());
    return left;
  }

  NodePtr conjunction() {
    NodePtr left = negation();
    while (take("and")) left = of_numbers("and", std::move(left), negation());
    return left;
  }

  NodePtr negation() {
    if (!take("not")) return comparison();
    return make("not", number_wanted(deeper(&Parser::negation)), nullptr);
  }

  NodePtr comparison() {
    NodePtr left = sum();
    for (const std::string_view operation : {"~*", "~"}) {
      if (take(operation)) return match(std::move(left), operation == "~*");
    }
    for (const std::string_view operation : kComparisons) {
      if (take(operation)) return compared(operation, std::move(left), sum());
    }
    return left;
  }

  NodePtr match(NodePtr left, bool ignore_case) {
    if (left->type != ValueType::kText) fail("~ compares a text with a regular expression");
    NodePtr expression = primary();
    if (expression->operation != "text") fail("a regular expression is written as a text: id ~ \"after\"");
    NodePtr node = make("~", std::move(left), nullptr);
    node->pattern = std::make_unique<Pattern>("the regular expression", expression->text, ignore_case);
    return node;
  }

  NodePtr compared(std::string_view operation, NodePtr left, NodePtr right) const {
    read_as_time(*left, *right);
    read_as_time(*right, *left);
    if ((left->type == ValueType::kText) != (right->type == ValueType::kText)) {
      fail("a text is compared with a number");
    }
    return make(operation, std::move(left), std::move(right));
  }

  // A text that is compared with a time is a time.
  void read_as_time(Node& text, const Node& other) const {
    if (other.type != ValueType::kTime || text.operation != "text") return;
    const auto seconds = parse_utc(text.text);
    if (!seconds) fail(fmt::format("'{}' is no time such as 2026-11-21T02:15", text.text));
    text.operation.clear();
    text.type = ValueType::kTime;
    text.number = *seconds;
  }

  NodePtr sum() {
    NodePtr left = product();
    for (;;) {
      if (take("+")) {
        left = of_numbers("+", std::move(left), product());
      } else if (take("-")) {
        left = of_numbers("-", std::move(left), product());
      } else {
        return left;
      }
    }
  }

  NodePtr product() {
    NodePtr left = primary();
    for (;;) {
      if (take("*")) {
        left = of_numbers("*", std::move(left), primary());
      } else if (take("/")) {
        left = of_numbers("/", std::move(left), primary());
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
    if (take("-")) return of_numbers("-", std::make_unique<Node>(), deeper(&Parser::primary));
    skip_space();
    if (at_ < text_.size() && (text_[at_] == '"' || text_[at_] == '\'')) return quoted();
    std::size_t end = at_;
    while (end < text_.size() && (in_word(text_[end]) || text_[end] == '.')) ++end;
    const std::string word(text_.substr(at_, end - at_));
    if (word.empty()) fail("a number or a name was expected");
    auto node = std::make_unique<Node>();
    if (std::isdigit(static_cast<unsigned char>(word.front())) != 0) {
      node->number = number(word);
      at_ = end;
      return node;
    }
    const auto known =
        std::find_if(names_.begin(), names_.end(), [&word](const ExpressionName& name) { return name.name == word; });
    if (known == names_.end() && std::find(kFunctions.begin(), kFunctions.end(), word) != kFunctions.end()) {
      at_ = end;
      return call(word);
    }
    if (known == names_.end()) fail(fmt::format("'{}' is unknown", word));
    node->operation = "name";
    node->text = word;
    node->type = known->type;
    at_ = end;
    return node;
  }

  // A backslash takes the quote after it, or another backslash, as it is; in front of anything else it is itself.
  NodePtr quoted() {
    const char quote = text_[at_];
    auto node = std::make_unique<Node>();
    node->operation = "text";
    node->type = ValueType::kText;
    for (std::size_t i = at_ + 1; i < text_.size(); ++i) {
      if (text_[i] == quote) {
        at_ = i + 1;
        return node;
      }
      const bool escapes = text_[i] == '\\' && i + 1 < text_.size() && (text_[i + 1] == quote || text_[i + 1] == '\\');
      if (escapes) ++i;
      node->text += text_[i];
    }
    fail(fmt::format("a {} is missing", quote));
  }

  NodePtr call(const std::string& function) {
    if (!take("(")) fail("a ( was expected");
    const bool of_text = function == "lower" || function == "upper";
    NodePtr argument = deeper(&Parser::disjunction);
    if (of_text != (argument->type == ValueType::kText)) {
      fail(fmt::format("{}() takes a {}", function, of_text ? "text" : "number"));
    }
    NodePtr digits = function == "round" && take(",") ? number_wanted(deeper(&Parser::disjunction)) : nullptr;
    if (!take(")")) fail("a ) is missing");
    NodePtr node = make(function + "(", std::move(argument), std::move(digits));
    if (of_text) node->type = ValueType::kText;
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
  const std::vector<ExpressionName>& names_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

std::unique_ptr<Expression::Node> parse_expression(std::string_view text, const std::vector<ExpressionName>& names) {
  return Parser(text, names).parse();
}

std::optional<double> parse_utc(const std::string& text) {
  for (const char* format :
       {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%d"}) {
    std::tm parts{};
    const char* const end = ::strptime(text.c_str(), format, &parts);
    if (end == nullptr || (*end != '\0' && std::string_view(end) != "Z")) continue;
    return static_cast<double>(::timegm(&parts));
  }
  return std::nullopt;
}

}  // namespace memsnap
