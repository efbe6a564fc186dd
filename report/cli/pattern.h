#pragma once

#include <regex.h>

#include <string>

namespace memsnap {

// An extended regular expression, as pgrep takes it.
class Pattern {
 public:
  // `what`: how a message calls it, "--name". Throws Error kUsage for one that is none.
  Pattern(const std::string& what, const std::string& text, bool ignore_case = false);
  ~Pattern() { ::regfree(&regex_); }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  bool matches(const std::string& text) const { return ::regexec(&regex_, text.c_str(), 0, nullptr, 0) == 0; }

 private:
  regex_t regex_{};
};

}  // namespace memsnap
