#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace memsnap {

// A word as a shell must be given it: in quotes unless it is plain.
std::string shell_word(std::string_view word);
std::string shell_command(const std::string& program, const std::vector<std::string>& words);
std::string own_path();  // of this program, absolute; "memsnap" when it cannot be told

}  // namespace memsnap
