#include "snapshot/store/json.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace memsnap {
namespace {

constexpr int kMaxDepth = 8;
constexpr std::size_t kMaxValues = 1'000'000;

template <typename T>
T to_number(const std::string& digits) {
  T value{};
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return error == std::errc{} && end == digits.data() + digits.size() ? value : T{};
}

}  // namespace

void JsonWriter::separate() {
  if (needs_comma_) out_ += ',';
  needs_comma_ = true;
}

JsonWriter& JsonWriter::open(char bracket) {
  separate();
  out_ += bracket;
  needs_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::close(char bracket) {
  out_ += bracket;
  needs_comma_ = true;
  return *this;
}

JsonWriter& JsonWriter::key(std::string_view name) {
  separate();
  quote(name);
  out_ += ':';
  needs_comma_ = false;
  return *this;
}

JsonWriter& JsonWriter::text(std::string_view value) {
  separate();
  quote(value);
  return *this;
}

JsonWriter& JsonWriter::number(std::uint64_t value) {
  separate();
  out_ += fmt::format("{}", value);
  return *this;
}

JsonWriter& JsonWriter::number(std::int64_t value) {
  separate();
  out_ += fmt::format("{}", value);
  return *this;
}

JsonWriter& JsonWriter::number(double value) {
  separate();
  out_ += std::isfinite(value) ? fmt::format("{}", value) : "0";
  return *this;
}

JsonWriter& JsonWriter::boolean(bool value) {
  separate();
  out_ += value ? "true" : "false";
  return *this;
}

void JsonWriter::quote(std::string_view text) {
  out_ += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '"' || c == '\\') {
      out_ += fmt::format("\\u{:04x}", byte);
    } else {
      out_ += c;
    }
  }
  out_ += '"';
}

class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : text_(text) {}

  std::optional<JsonValue> parse() {
    JsonValue value;
    if (!parse_value(value, 0)) return std::nullopt;
    skip_space();
    if (at_ != text_.size()) return std::nullopt;
    return value;
  }

 private:
  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) ++at_;
  }
  bool take(char wanted) {
    skip_space();
    if (at_ == text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  bool take_word(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  bool parse_value(JsonValue& out, int depth) {
    skip_space();
    if (at_ == text_.size() || depth > kMaxDepth || ++values_ > kMaxValues) return false;
    switch (text_[at_]) {
      case '{':
        return parse_object(out.value_.emplace<JsonValue::Members>(), depth);
      case '[':
        return parse_array(out.value_.emplace<std::vector<JsonValue>>(), depth);
      case '"':
        return parse_text(out.value_.emplace<std::string>());
      case 't':
        out.value_ = true;
        return take_word("true");
      case 'f':
        out.value_ = false;
        return take_word("false");
      case 'n':
        return take_word("null");
      default:
        return parse_number(out.value_.emplace<JsonValue::Number>().digits);
    }
  }

  bool parse_object(JsonValue::Members& out, int depth) {
    ++at_;
    if (take('}')) return true;
    do {
      skip_space();
      auto& [name, value] = out.emplace_back();
      if (at_ == text_.size() || text_[at_] != '"' || !parse_text(name) || !take(':')) return false;
      if (!parse_value(value, depth + 1)) return false;
    } while (take(','));
    return take('}');
  }

  bool parse_array(std::vector<JsonValue>& out, int depth) {
    ++at_;
    if (take(']')) return true;
    do {
      if (!parse_value(out.emplace_back(), depth + 1)) return false;
    } while (take(','));
    return take(']');
  }

  bool parse_number(std::string& out) {
    const std::size_t begin = at_;
    while (at_ < text_.size() && std::string_view("+-.0123456789eE").find(text_[at_]) != std::string_view::npos) ++at_;
    out = text_.substr(begin, at_ - begin);
    double value = 0;
    const auto [end, error] = std::from_chars(out.data(), out.data() + out.size(), value);
    return !out.empty() && error == std::errc{} && end == out.data() + out.size();
  }

  bool parse_text(std::string& out) {
    for (++at_; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '"') return ++at_, true;
      if (static_cast<unsigned char>(c) < 0x20) return false;
      if (c != '\\') {
        out += c;
      } else if (!parse_escape(out)) {
        return false;
      }
    }
    return false;
  }

  bool parse_escape(std::string& out) {
    if (++at_ == text_.size()) return false;
    constexpr std::string_view kNames = "\"\\/bfnrt";
    constexpr std::string_view kValues = "\"\\/\b\f\n\r\t";
    if (const auto i = kNames.find(text_[at_]); i != std::string_view::npos) {
      out += kValues[i];
      return true;
    }
    if (text_[at_] != 'u' || text_.size() - at_ < 5) return false;
    unsigned code = 0;
    const char* begin = text_.data() + at_ + 1;
    const auto [end, error] = std::from_chars(begin, begin + 4, code, 16);
    if (error != std::errc{} || end != begin + 4 || code > 0xff) return false;
    out += static_cast<char>(code);
    at_ += 4;
    return true;
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::size_t values_ = 0;
};

std::optional<JsonValue> JsonValue::parse(std::string_view text) { return JsonParser(text).parse(); }

const JsonValue& JsonValue::operator[](std::string_view name) const {
  static const JsonValue null_value;
  if (const auto* members = std::get_if<Members>(&value_)) {
    for (const auto& [key, value] : *members) {
      if (key == name) return value;
    }
  }
  return null_value;
}

const std::vector<JsonValue>& JsonValue::items() const {
  static const std::vector<JsonValue> nothing;
  const auto* items = std::get_if<std::vector<JsonValue>>(&value_);
  return items != nullptr ? *items : nothing;
}

std::string JsonValue::text() const {
  const auto* text = std::get_if<std::string>(&value_);
  return text != nullptr ? *text : std::string();
}

std::uint64_t JsonValue::unsigned_number() const {
  const auto* number = std::get_if<Number>(&value_);
  return number != nullptr ? to_number<std::uint64_t>(number->digits) : 0;
}

std::int64_t JsonValue::signed_number() const {
  const auto* number = std::get_if<Number>(&value_);
  return number != nullptr ? to_number<std::int64_t>(number->digits) : 0;
}

double JsonValue::real() const {
  const auto* number = std::get_if<Number>(&value_);
  return number != nullptr ? to_number<double>(number->digits) : 0;
}

bool JsonValue::boolean(bool otherwise) const {
  const auto* value = std::get_if<bool>(&value_);
  return value != nullptr ? *value : otherwise;
}

}  // namespace memsnap
