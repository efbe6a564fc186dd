#pragma once

#include <boost/any.hpp>
#include <boost/program_options.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace memsnap {

// Types of option values. Each has a validate(), found by Boost.Program_options, so that every message names the
// option.

struct Duration {
  std::chrono::milliseconds value{};
};
std::optional<Duration> parse_duration(std::string_view text);  // 250ms, 5s, 2m, 1h, 14d; a bare number is seconds

struct ByteCount {
  std::uint64_t value = 0;
};
std::optional<ByteCount> parse_byte_count(std::string_view text);  // 4096, 64KiB, 100MiB, 2G (binary), 1GB (decimal)

// A size, or a part of the whole.
struct SizeOrPercent {
  std::uint64_t bytes = 0;
  std::optional<double> percent;
};

struct Percent {
  double value = 0;
};

// Boost takes "-1" for a large unsigned number; this does not.
struct WholeNumber {
  std::uint32_t value = 0;
};

struct ProcessNumber {
  int value = 0;
};
std::optional<ProcessNumber> parse_process_number(std::string_view text);  // 1 to 4194304, digits only

// A value that its option does not take; says what it would take.
class BadValue : public boost::program_options::error_with_option_name {
 public:
  BadValue(const std::string& text, const std::string& expected);
  ~BadValue() noexcept override = default;
};

void validate(boost::any& value, const std::vector<std::string>& texts, Duration*, int);
void validate(boost::any& value, const std::vector<std::string>& texts, ByteCount*, int);
void validate(boost::any& value, const std::vector<std::string>& texts, SizeOrPercent*, int);
void validate(boost::any& value, const std::vector<std::string>& texts, Percent*, int);
void validate(boost::any& value, const std::vector<std::string>& texts, WholeNumber*, int);
void validate(boost::any& value, const std::vector<std::string>& texts, ProcessNumber*, int);

// A word out of a list; shown in the help as "auto|freeze|stop|read".
boost::program_options::typed_value<std::string>* one_of(const std::string& option, std::vector<std::string> words);

}  // namespace memsnap
