#pragma once

#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace memsnap {

struct Fact;
struct NamedFact;
using FactArray = std::vector<Fact>;
using FactObject = std::vector<NamedFact>;  // in the order in which they were added: same report, same bytes

// Something a report says to machines, as JSON can say it.
struct Fact {
  std::variant<std::nullptr_t, bool, std::int64_t, std::uint64_t, double, std::string, FactArray, FactObject> value;
};

struct NamedFact {
  std::string key;
  Fact value;
};

// Writes JSON as it is told, without building a document. Text may be any bytes: what is not UTF-8 becomes U+FFFD and
// the member is followed by another, "<key>_b64", with the bytes themselves. Control characters and marks that change
// the direction of text are written as \u escapes, so that a document shown on a terminal cannot act on it.
class JsonOutput {
 public:
  explicit JsonOutput(std::ostream& out) : out_(out) {}

  void begin_object();
  void end_object();
  void begin_array();
  void end_array();
  void key(std::string_view name);
  void null();
  void boolean(bool value);
  void number(std::uint64_t value);
  void number(std::int64_t value);
  void number(double value);  // what is not finite becomes null
  void text(std::string_view value);
  void value(const Fact& value);

  void member(std::string_view name, std::string_view value);
  void member(std::string_view name, std::uint64_t value);
  void members(const FactObject& members);

 private:
  void separate();
  void quoted(std::string_view value);

  std::ostream& out_;
  bool need_comma_ = false;
};

// Length of the well-formed UTF-8 sequence that `text` begins with (1 to 4); 0: ill-formed, or empty.
std::size_t utf8_sequence_length(std::string_view text);
// The code point of the well-formed sequence `text` begins with.
std::uint32_t utf8_code_point(std::string_view text);
bool is_utf8(std::string_view text);
std::string base64(std::string_view bytes);

}  // namespace memsnap
