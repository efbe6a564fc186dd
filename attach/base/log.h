#pragma once

#include <string_view>

namespace memsnap {

// Where messages for the person at the terminal go (stderr, as text or JSON lines). Implemented by report/cli.
class Log {
 public:
  virtual ~Log() = default;
  // `event` is a stable word for machines ("method_fallback"), `message` a sentence for people, not yet escaped.
  virtual void warning(std::string_view event, std::string_view message) = 0;
  virtual void info(std::string_view event, std::string_view message) = 0;   // shown with -v
  virtual void debug(std::string_view event, std::string_view message) = 0;  // shown with -vv
  // Long work: `done` of `total` (0: unknown). Drawn only on a terminal, and only after a second.
  virtual void progress(std::string_view /*what*/, unsigned long long /*done*/, unsigned long long /*total*/) {}
};

class NullLog final : public Log {
 public:
  void warning(std::string_view, std::string_view) override {}
  void info(std::string_view, std::string_view) override {}
  void debug(std::string_view, std::string_view) override {}
};

}  // namespace memsnap
