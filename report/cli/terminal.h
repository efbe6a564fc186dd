#pragma once

#include <functional>
#include <optional>
#include <string>

#include "report/renderer.h"

namespace memsnap {

enum class ColorChoice { kAuto, kAlways, kNever };

// Asks the environment for a variable; a parameter, so that the rules are tested without one.
using GetVariable = std::function<std::optional<std::string>(const std::string& name)>;

// What a stream leads to.
struct Terminal {
  bool is_terminal = false;
  int columns = 0;  // 0: no terminal, nothing is cut
  int rows = 0;
  bool dumb = false;
};
Terminal detect_terminal(int fd, const GetVariable& variable);

// --color wins; then NO_COLOR and TERM=dumb, CLICOLOR_FORCE, and whether it is a terminal.
bool use_color(ColorChoice choice, const Terminal& terminal, const GetVariable& variable);
bool locale_is_utf8();  // of the environment; call setlocale(LC_CTYPE, "") first

std::optional<std::string> environment_variable(const std::string& name);
// False as root and when AT_SECURE is set: then it, and what is in the home directory, may be somebody else's word.
bool is_environment_trusted();

}  // namespace memsnap
