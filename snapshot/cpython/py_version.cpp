#include "snapshot/cpython/py_version.h"

#include <fmt/core.h>

#include <charconv>

namespace memsnap {
namespace {

// Takes a number of at most 255 off the front.
std::optional<std::uint32_t> take_number(std::string_view& text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number > 0xff) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

bool take(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

}  // namespace

std::optional<PyVersion> PyVersion::parse(std::string_view text) {
  const auto major = take_number(text);
  if (!major || !take(text, ".")) return std::nullopt;
  const auto minor = take_number(text);
  if (!minor || !take(text, ".")) return std::nullopt;
  const auto micro = take_number(text);
  if (!micro) return std::nullopt;

  std::uint32_t level = 0xf0;
  if (take(text, "a")) level = 0xa0;
  if (take(text, "b")) level = 0xb0;
  if (take(text, "rc")) level = 0xc0;
  if (level != 0xf0) {
    const auto serial = take_number(text);
    if (!serial || *serial > 0xf) return std::nullopt;
    level |= *serial;
  }
  if (!text.empty() && text.front() != ' ' && text.front() != '+') return std::nullopt;
  return PyVersion(*major << 24 | *minor << 16 | *micro << 8 | level);
}

bool PyVersion::plausible() const {
  const unsigned level = hex_ >> 4 & 0xf;
  return (major() == 2 || major() == 3) && minor() < 64 &&
         (level == 0xa || level == 0xb || level == 0xc || level == 0xf);
}

std::string PyVersion::text() const {
  std::string text = fmt::format("{}.{}.{}", major(), minor(), micro());
  const unsigned serial = hex_ & 0xf;
  switch (hex_ >> 4 & 0xf) {
    case 0xa:
      return text + fmt::format("a{}", serial);
    case 0xb:
      return text + fmt::format("b{}", serial);
    case 0xc:
      return text + fmt::format("rc{}", serial);
    default:
      return text;
  }
}

std::string PyVersion::minor_text() const { return fmt::format("{}.{}", major(), minor()); }

}  // namespace memsnap
