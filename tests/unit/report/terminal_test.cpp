#include "report/cli/terminal.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace memsnap {
namespace {

GetVariable variables(const std::map<std::string, std::string>& values) {
  return [values](const std::string& name) -> std::optional<std::string> {
    const auto found = values.find(name);
    if (found == values.end()) return std::nullopt;
    return found->second;
  };
}

Terminal terminal() {
  Terminal here;
  here.is_terminal = true;
  return here;
}

TEST(UseColor, TheOptionWins) {
  EXPECT_TRUE(use_color(ColorChoice::kAlways, {}, variables({{"NO_COLOR", "1"}, {"TERM", "dumb"}})));
  EXPECT_FALSE(use_color(ColorChoice::kNever, terminal(), variables({{"CLICOLOR_FORCE", "1"}})));
}

TEST(UseColor, NoColorCountsWhenNotEmpty) {
  EXPECT_FALSE(use_color(ColorChoice::kAuto, terminal(), variables({{"TERM", "xterm"}, {"NO_COLOR", "1"}})));
  EXPECT_TRUE(use_color(ColorChoice::kAuto, terminal(), variables({{"TERM", "xterm"}, {"NO_COLOR", ""}})));
  EXPECT_FALSE(use_color(ColorChoice::kAuto, {}, variables({{"NO_COLOR", "1"}, {"CLICOLOR_FORCE", "1"}})));
}

TEST(UseColor, ForceMeansAlwaysAndDumbMeansNever) {
  EXPECT_TRUE(use_color(ColorChoice::kAuto, {}, variables({{"TERM", "xterm"}, {"CLICOLOR_FORCE", "1"}})));
  EXPECT_FALSE(use_color(ColorChoice::kAuto, {}, variables({{"TERM", "xterm"}, {"CLICOLOR_FORCE", "0"}})));
  EXPECT_FALSE(use_color(ColorChoice::kAuto, terminal(), variables({{"TERM", "dumb"}})));
  EXPECT_FALSE(use_color(ColorChoice::kAuto, {}, variables({{"TERM", "xterm"}})));
}

}  // namespace
}  // namespace memsnap
