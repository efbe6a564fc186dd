#include "report/cli/shell_words.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

namespace memsnap {

std::string shell_word(std::string_view word) {
  const bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("%+,-./:=@_").find(c) != std::string_view::npos;
  });
  if (plain) return std::string(word);
  std::string quoted = "'";
  for (const char c : word) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

std::string shell_command(const std::string& program, const std::vector<std::string>& words) {
  std::string command = shell_word(program);
  for (const std::string& word : words) command += ' ' + shell_word(word);
  return command;
}

std::string own_path() {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/exe", error);
  return error ? "memsnap" : path.string();
}

}  // namespace memsnap
