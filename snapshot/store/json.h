#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

// The little JSON that a snapshot's header needs. Texts are byte strings: each byte is written as one character, those
// outside printable ASCII as \u00XX, so that names that are not UTF-8 come back as they were.
namespace memsnap {

class JsonWriter {
 public:
  JsonWriter& key(std::string_view name);
  JsonWriter& text(std::string_view value);
  JsonWriter& number(std::uint64_t value);
  JsonWriter& number(std::int64_t value);
  JsonWriter& number(double value);
  JsonWriter& boolean(bool value);
  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  const std::string& result() const { return out_; }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  void separate();
  void quote(std::string_view text);

  std::string out_;
  bool needs_comma_ = false;
};

// A parsed value. Look-ups that do not find what was asked for give the default, so that a header may lack a field.
class JsonValue {
 public:
  // Nothing when `text` is not one JSON value, is nested more than eight deep or holds over a million values.
  static std::optional<JsonValue> parse(std::string_view text);

  const JsonValue& operator[](std::string_view name) const;  // of an object; a null value when there is none
  const std::vector<JsonValue>& items() const;               // of an array; none when it is something else
  std::string text() const;
  std::uint64_t unsigned_number() const;
  std::int64_t signed_number() const;
  double real() const;
  bool boolean(bool otherwise = false) const;

 private:
  friend class JsonParser;
  using Members = std::vector<std::pair<std::string, JsonValue>>;
  struct Number {
    std::string digits;
  };
  std::variant<std::monostate, bool, Number, std::string, std::vector<JsonValue>, Members> value_;
};

}  // namespace memsnap
