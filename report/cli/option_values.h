#pragma once

#include <boost/program_options.hpp>
#include <optional>
#include <string>

namespace memsnap {

template <typename T>
std::optional<T> option_value(const boost::program_options::variables_map& values, const char* name) {
  if (values.count(name) == 0) return std::nullopt;
  return values[name].as<T>();
}

inline bool option_flag(const boost::program_options::variables_map& values, const char* name) {
  return values.count(name) != 0 && values[name].as<bool>();
}

}  // namespace memsnap
