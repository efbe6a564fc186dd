#pragma once

#include <string>

namespace memsnap {

std::string version_number();  // 0.1.0
std::string version_text();    // with the build id and the CPython versions known
std::string own_build_id();    // hex, empty when the program has none

}  // namespace memsnap
