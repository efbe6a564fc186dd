#include "report/cli/terminal.h"

#include <langinfo.h>
#include <sys/auxv.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace memsnap {
namespace {

constexpr int kColumnsUnknown = 100;
constexpr int kRowsUnknown = 24;

std::optional<int> positive_number(const std::optional<std::string>& text) {
  if (!text) return std::nullopt;
  int number = 0;
  const auto result = std::from_chars(text->data(), text->data() + text->size(), number);
  if (result.ec != std::errc() || result.ptr != text->data() + text->size() || number <= 0) return std::nullopt;
  return number;
}

bool is_set(const GetVariable& variable, const std::string& name) {
  const auto value = variable(name);
  return value && !value->empty();
}

}  // namespace

Terminal detect_terminal(int fd, const GetVariable& variable) {
  Terminal terminal;
  terminal.is_terminal = isatty(fd) == 1;
  if (!terminal.is_terminal) return terminal;
  terminal.dumb = variable("TERM").value_or("dumb") == "dumb";
  winsize size{};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0) size = {};
  terminal.columns = size.ws_col != 0 ? size.ws_col : positive_number(variable("COLUMNS")).value_or(kColumnsUnknown);
  terminal.rows = size.ws_row != 0 ? size.ws_row : kRowsUnknown;
  return terminal;
}

bool use_color(ColorChoice choice, const Terminal& terminal, const GetVariable& variable) {
  if (choice != ColorChoice::kAuto) return choice == ColorChoice::kAlways;
  if (is_set(variable, "NO_COLOR") || variable("TERM").value_or("") == "dumb") return false;
  if (is_set(variable, "CLICOLOR_FORCE") && variable("CLICOLOR_FORCE") != "0") return true;
  return terminal.is_terminal && !terminal.dumb;
}

bool locale_is_utf8() { return std::string_view(nl_langinfo(CODESET)) == "UTF-8"; }

bool is_environment_trusted() { return ::geteuid() != 0 && ::getauxval(AT_SECURE) == 0; }

std::optional<std::string> environment_variable(const std::string& name) {
  const char* value = std::getenv(name.c_str());
  if (value == nullptr) return std::nullopt;
  return std::string(value);
}

}  // namespace memsnap
