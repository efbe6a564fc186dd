#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace memsnap {

// Text of a target or a file made harmless for a terminal: control characters, marks that turn the direction of text,
// invisible characters and invalid UTF-8 are written as \x1b, \u202e, \xff. One line: \n and \t too.
std::string printable(std::string_view text);

// Columns that printable text takes on a terminal.
std::size_t display_width(std::string_view text);

}  // namespace memsnap
