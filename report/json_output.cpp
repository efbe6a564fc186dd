#include "report/json_output.h"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <ostream>
#include <type_traits>

namespace memsnap {
namespace {

bool is_continuation(std::string_view text, std::size_t at) {
  return at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80;
}

// C0, DEL, C1, line and paragraph separators, direction marks, zero-width and format characters.
bool needs_escape(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0xAD || code == 0x61C || code == 0x180E ||
         (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
         (code >= 0x2060 && code <= 0x206F) || code == 0xFEFF || (code >= 0xFFF9 && code <= 0xFFFB) ||
         (code >= 0xE0000 && code <= 0xE007F);
}

void append_escape(std::string& out, std::uint32_t code) {
  if (code >= 0x10000) {
    const std::uint32_t rest = code - 0x10000;
    fmt::format_to(std::back_inserter(out), "\\u{:04x}\\u{:04x}", 0xD800 + (rest >> 10), 0xDC00 + (rest & 0x3FF));
  } else {
    fmt::format_to(std::back_inserter(out), "\\u{:04x}", code);
  }
}

void append_character(std::string& out, std::string_view sequence) {
  switch (sequence.front()) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  const std::uint32_t code = utf8_code_point(sequence);
  if (needs_escape(code)) {
    append_escape(out, code);
  } else {
    out += sequence;
  }
}

}  // namespace

std::size_t utf8_sequence_length(std::string_view text) {
  if (text.empty()) return 0;
  const auto lead = static_cast<unsigned char>(text[0]);
  if (lead < 0x80) return 1;
  const auto second = text.size() > 1 ? static_cast<unsigned char>(text[1]) : 0U;
  if (lead >= 0xC2 && lead <= 0xDF) return is_continuation(text, 1) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    if (!is_continuation(text, 1) || !is_continuation(text, 2)) return 0;
    if (lead == 0xE0 && second < 0xA0) return 0;  // overlong
    if (lead == 0xED && second > 0x9F) return 0;  // surrogate
    return 3;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    if (!is_continuation(text, 1) || !is_continuation(text, 2) || !is_continuation(text, 3)) return 0;
    if (lead == 0xF0 && second < 0x90) return 0;
    if (lead == 0xF4 && second > 0x8F) return 0;
    return 4;
  }
  return 0;
}

std::uint32_t utf8_code_point(std::string_view text) {
  const std::size_t length = utf8_sequence_length(text);
  if (length == 0) return 0xFFFD;
  const auto lead = static_cast<unsigned char>(text[0]);
  if (length == 1) return lead;
  std::uint32_t code = lead & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3FU);
  return code;
}

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const std::size_t length = utf8_sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    const std::size_t have = std::min<std::size_t>(3, bytes.size() - i);
    for (std::size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < have ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) out += j <= have ? kDigits[group >> (18 - 6 * j) & 0x3F] : '=';
  }
  return out;
}

void JsonOutput::separate() {
  if (need_comma_) out_ << ',';
  need_comma_ = true;
}

void JsonOutput::begin_object() {
  separate();
  out_ << '{';
  need_comma_ = false;
}

void JsonOutput::end_object() {
  out_ << '}';
  need_comma_ = true;
}

void JsonOutput::begin_array() {
  separate();
  out_ << '[';
  need_comma_ = false;
}

void JsonOutput::end_array() {
  out_ << ']';
  need_comma_ = true;
}

void JsonOutput::key(std::string_view name) {
  separate();
  quoted(name);
  out_ << ':';
  need_comma_ = false;
}

void JsonOutput::null() {
  separate();
  out_ << "null";
}

void JsonOutput::boolean(bool value) {
  separate();
  out_ << (value ? "true" : "false");
}

void JsonOutput::number(std::uint64_t value) {
  separate();
  out_ << fmt::to_string(value);
}

void JsonOutput::number(std::int64_t value) {
  separate();
  out_ << fmt::to_string(value);
}

void JsonOutput::number(double value) {
  if (!std::isfinite(value)) return null();
  separate();
  out_ << fmt::format("{}", value);
}

void JsonOutput::text(std::string_view value) {
  separate();
  quoted(value);
}

void JsonOutput::quoted(std::string_view value) {
  std::string escaped;
  escaped.reserve(value.size() + 2);
  escaped += '"';
  while (!value.empty()) {
    const std::size_t length = utf8_sequence_length(value);
    if (length == 0) {
      escaped += "\xEF\xBF\xBD";
      value.remove_prefix(1);
      continue;
    }
    append_character(escaped, value.substr(0, length));
    value.remove_prefix(length);
  }
  escaped += '"';
  out_ << escaped;
}

void JsonOutput::value(const Fact& value) {
  std::visit(
      [this](const auto& held) {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, std::nullptr_t>) {
          null();
        } else if constexpr (std::is_same_v<Held, bool>) {
          boolean(held);
        } else if constexpr (std::is_same_v<Held, std::string>) {
          text(held);
        } else if constexpr (std::is_same_v<Held, FactArray>) {
          begin_array();
          for (const Fact& element : held) this->value(element);
          end_array();
        } else if constexpr (std::is_same_v<Held, FactObject>) {
          begin_object();
          members(held);
          end_object();
        } else {
          number(held);
        }
      },
      value.value);
}

void JsonOutput::member(std::string_view name, std::string_view value) {
  key(name);
  text(value);
  if (is_utf8(value)) return;
  key(fmt::format("{}_b64", name));
  text(base64(value));
}

void JsonOutput::member(std::string_view name, std::uint64_t value) {
  key(name);
  number(value);
}

void JsonOutput::members(const FactObject& members) {
  for (const NamedFact& entry : members) {
    if (const auto* held = std::get_if<std::string>(&entry.value.value)) {
      member(entry.key, *held);
    } else {
      key(entry.key);
      value(entry.value);
    }
  }
}

}  // namespace memsnap
