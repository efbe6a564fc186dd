#include "report/cli/pattern.h"

#include <fmt/format.h>

#include <array>

#include "attach/base/error.h"

namespace memsnap {

Pattern::Pattern(const std::string& what, const std::string& text, bool ignore_case) {
  const int status = ::regcomp(&regex_, text.c_str(), REG_EXTENDED | REG_NOSUB | (ignore_case ? REG_ICASE : 0));
  if (status == 0) return;
  std::array<char, 200> reason{};
  ::regerror(status, &regex_, reason.data(), reason.size());
  throw Error(ExitCode::kUsage, fmt::format("{} is '{}': {}", what, text, reason.data()),
              "an extended regular expression, as pgrep -f and grep -E take it");
}

}  // namespace memsnap
