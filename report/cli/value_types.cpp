#include "report/cli/value_types.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

#include "attach/base/error.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

struct Unit {
  std::string_view name;
  double factor;
};

constexpr std::array<Unit, 7> kDurations{
    {{"", 1e3}, {"us", 1e-3}, {"ms", 1}, {"s", 1e3}, {"m", 60e3}, {"h", 3600e3}, {"d", 86400e3}}};

constexpr double kKibi = 1024;
constexpr std::array<Unit, 19> kSizes{{{"", 1},
                                       {"b", 1},
                                       {"k", kKibi},
                                       {"m", kKibi* kKibi},
                                       {"g", kKibi* kKibi* kKibi},
                                       {"t", kKibi* kKibi* kKibi* kKibi},
                                       {"kib", kKibi},
                                       {"mib", kKibi* kKibi},
                                       {"gib", kKibi* kKibi* kKibi},
                                       {"tib", kKibi* kKibi* kKibi* kKibi},
                                       {"ki", kKibi},
                                       {"mi", kKibi* kKibi},
                                       {"gi", kKibi* kKibi* kKibi},
                                       {"ti", kKibi* kKibi* kKibi* kKibi},
                                       {"kb", 1e3},
                                       {"mb", 1e6},
                                       {"gb", 1e9},
                                       {"tb", 1e12},
                                       {"bytes", 1}}};

std::string lowered(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

// "1.5GiB" is a number and the rest. No sign, no exponent, no "inf".
std::optional<std::pair<double, std::string>> split_number(std::string_view text) {
  const std::size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  if (digits == 0) return std::nullopt;
  double number = 0;
  const auto result = std::from_chars(text.data(), text.data() + digits, number, std::chars_format::fixed);
  if (result.ec != std::errc() || result.ptr != text.data() + digits) return std::nullopt;
  std::string_view unit = text.substr(digits);
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  return std::make_pair(number, lowered(unit));
}

template <std::size_t N>
std::optional<double> scaled(std::string_view text, const std::array<Unit, N>& units) {
  const auto parts = split_number(text);
  if (!parts) return std::nullopt;
  const auto unit = std::find_if(units.begin(), units.end(), [&](const Unit& u) { return u.name == parts->second; });
  if (unit == units.end()) return std::nullopt;
  return parts->first * unit->factor;
}

std::optional<double> parse_percent(std::string_view text) {
  const auto parts = split_number(text);
  if (!parts || (!parts->second.empty() && parts->second != "%") || parts->first > 100) return std::nullopt;
  return parts->first;
}

const std::string& only(const boost::any& value, const std::vector<std::string>& texts) {
  po::validators::check_first_occurrence(value);
  return po::validators::get_single_string(texts);
}

}  // namespace

std::optional<Duration> parse_duration(std::string_view text) {
  const auto ms = scaled(text, kDurations);
  constexpr double kLongest = 1e14;  // 3000 years
  if (!ms || *ms > kLongest) return std::nullopt;
  return Duration{std::chrono::milliseconds(std::llround(*ms))};
}

std::optional<ByteCount> parse_byte_count(std::string_view text) {
  const auto bytes = scaled(text, kSizes);
  constexpr double kLargest = 9e18;
  if (!bytes || *bytes > kLargest) return std::nullopt;
  return ByteCount{static_cast<std::uint64_t>(std::llround(*bytes))};
}

std::optional<ProcessNumber> parse_process_number(std::string_view text) {
  int pid = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), pid);
  constexpr int kPidMax = 1 << 22;  // PID_MAX_LIMIT
  if (result.ec != std::errc() || result.ptr != text.data() + text.size() || pid < 1 || pid > kPidMax) {
    return std::nullopt;
  }
  return ProcessNumber{pid};
}

BadValue::BadValue(const std::string& text, const std::string& expected)
    : po::error_with_option_name("%canonical_option% is '%value%': expected " + expected) {
  set_substitute("value", text);
}

void validate(boost::any& value, const std::vector<std::string>& texts, Duration*, int) {
  const std::string& text = only(value, texts);
  const auto parsed = parse_duration(text);
  if (!parsed) throw BadValue(text, "a time such as 250ms, 5s, 2m or 1h");
  value = *parsed;
}

void validate(boost::any& value, const std::vector<std::string>& texts, ByteCount*, int) {
  const std::string& text = only(value, texts);
  const auto parsed = parse_byte_count(text);
  if (!parsed) throw BadValue(text, "a size such as 512KiB, 100MiB or 2G");
  value = *parsed;
}

void validate(boost::any& value, const std::vector<std::string>& texts, SizeOrPercent*, int) {
  const std::string& text = only(value, texts);
  SizeOrPercent parsed;
  if (text.ends_with('%')) {
    parsed.percent = parse_percent(text);
    if (!parsed.percent) throw BadValue(text, "a size such as 1GiB, or a part such as 5%");
  } else {
    const auto size = parse_byte_count(text);
    if (!size) throw BadValue(text, "a size such as 1GiB, or a part such as 5%");
    parsed.bytes = size->value;
  }
  value = parsed;
}

void validate(boost::any& value, const std::vector<std::string>& texts, Percent*, int) {
  const std::string& text = only(value, texts);
  const auto parsed = parse_percent(text);
  if (!parsed) throw BadValue(text, "a number from 0 to 100");
  value = Percent{*parsed};
}

void validate(boost::any& value, const std::vector<std::string>& texts, WholeNumber*, int) {
  const std::string& text = only(value, texts);
  WholeNumber parsed;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), parsed.value);
  if (result.ec != std::errc() || result.ptr != text.data() + text.size()) throw BadValue(text, "a whole number");
  value = parsed;
}

void validate(boost::any& value, const std::vector<std::string>& texts, ProcessNumber*, int) {
  const std::string& text = only(value, texts);
  const auto parsed = parse_process_number(text);
  if (!parsed) throw BadValue(text, "the number of a process");
  value = *parsed;
}

po::typed_value<std::string>* one_of(const std::string& option, std::vector<std::string> words) {
  auto* value = po::value<std::string>();
  value->value_name(fmt::format("{}", fmt::join(words, "|")));
  value->notifier([option, words = std::move(words)](const std::string& text) {
    if (std::find(words.begin(), words.end(), text) != words.end()) return;
    throw Error(ExitCode::kUsage, fmt::format("--{} is '{}': expected {}", option, text, fmt::join(words, ", ")), "");
  });
  return value;
}

}  // namespace memsnap
