#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attach/base/error.h"
#include "inject/control/left_tracking.h"
#include "inject/control/tracking.h"
#include "tests/integration/forked_target.h"

namespace memsnap {

inline std::span<const std::byte> stand_in_agent() {
  static const std::vector<std::byte> bytes = [] {
    const std::string text = read_whole(MEMSNAP_STAND_IN_AGENT);
    const auto* const begin = reinterpret_cast<const std::byte*>(text.data());
    return std::vector<std::byte>(begin, begin + text.size());
  }();
  return bytes;
}

inline std::uint64_t cycles_wanted(std::uint64_t few) {
  const char* const wanted = std::getenv("MEMSNAP_CYCLES");
  return wanted == nullptr ? few : std::strtoull(wanted, nullptr, 10);
}

inline TrackingSetup test_setup() {
  TrackingSetup setup;
  setup.period = 1;
  setup.image = stand_in_agent();
  return setup;
}

// Says on failure what the log had to say.
class TestLog final : public Log {
 public:
  void warning(std::string_view, std::string_view message) override { add(message); }
  void info(std::string_view, std::string_view message) override { add(message); }
  void debug(std::string_view, std::string_view message) override { add(message); }
  const std::string& text() const { return text_; }

 private:
  void add(std::string_view message) { text_.append(message).append("\n"); }
  std::string text_;
};

// What the stand-in counts.
inline AgentThread counters(const Tracking& tracking) {
  AgentThread thread{};
  const auto offset = static_cast<off_t>(tracking.header().sections.threads.offset);
  EXPECT_EQ(::pread(tracking.descriptor(), &thread, sizeof(thread), offset), static_cast<ssize_t>(sizeof(thread)));
  return thread;
}

inline std::string joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const std::string& line : lines) all.append(line).append("\n");
  return all;
}

}  // namespace memsnap
