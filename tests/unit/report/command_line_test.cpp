#include "report/cli/command_line.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "report/cli/option_values.h"
#include "report/cli/value_types.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;
using Words = std::vector<std::string>;

Command probe_command() {
  Command command;
  command.name = "probe";
  auto add = command.options.add_options();
  add("wait", po::value<Duration>(), "");
  add("min-free", po::value<SizeOrPercent>(), "");
  add("rows,n", po::value<WholeNumber>(), "");
  add("kind", one_of("kind", {"heap", "types"}), "");
  add("each", po::bool_switch(), "");
  return command;
}

OptionSources environment(const std::map<std::string, std::string>& variables) {
  OptionSources sources;
  sources.variable = [variables](const std::string& name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
  return sources;
}

ParsedOptions parse(const Words& words, const OptionSources& sources = environment({})) {
  const std::vector<Command> commands{probe_command()};
  return parse_options(split_command_line(words), &commands.front(), commands, sources);
}

std::string usage_message(const Words& words, const OptionSources& sources = environment({})) {
  try {
    parse(words, sources);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    return std::string(error.what()) + " / " + error.hint();
  }
  return "accepted";
}

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& text) : path_(testing::TempDir() + "memsnap_config_test.ini") {
    std::ofstream(path_) << text;
  }
  ~ConfigFile() { std::filesystem::remove(path_); }
  ConfigFile(const ConfigFile&) = delete;
  ConfigFile& operator=(const ConfigFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

TEST(SplitCommandLine, KnowsWhichGlobalOptionsTakeAValue) {
  const SplitLine line = split_command_line({"--color", "never", "-q", "--units=si", "summary", "-n", "3", "summary"});

  EXPECT_EQ(line.before, (Words{"--color", "never", "-q", "--units=si"}));
  EXPECT_EQ(line.command, "summary");
  EXPECT_EQ(line.after, (Words{"-n", "3", "summary"}));
}

TEST(SplitCommandLine, NoCommandAtAll) {
  EXPECT_FALSE(split_command_line({}).command);
  EXPECT_FALSE(split_command_line({"--version"}).command);
  EXPECT_EQ(split_command_line({"--", "ps"}).command, "ps");
}

TEST(ParseOptions, GlobalOptionsStandBeforeAndAfterTheCommand) {
  const ParsedOptions parsed = parse({"--json", "-v", "probe", "-v", "--json", "--color=never", "4242"});

  EXPECT_TRUE(option_flag(parsed.values, "json"));
  EXPECT_EQ(parsed.values["color"].as<std::string>(), "never");
  EXPECT_EQ(parsed.verbosity, 2);
  EXPECT_EQ(parsed.arguments, Words{"4242"});
}

TEST(ParseOptions, StickyVerboseCounts) { EXPECT_EQ(parse({"probe", "-vv"}).verbosity, 2); }

TEST(ParseOptions, AbbreviationsAreRefused) {
  EXPECT_EQ(usage_message({"probe", "--js"}), "unknown option --js / --help lists the options");
  EXPECT_EQ(usage_message({"--js", "probe"}), "unknown option --js / --help lists the options");
}

TEST(ParseOptions, AWordThatIsNearlyAnOptionIsSuggested) {
  EXPECT_EQ(usage_message({"probe", "--wiat", "5s"}), "unknown option --wiat / did you mean --wait?");
}

TEST(ParseOptions, ABadValueNamesItsOption) {
  EXPECT_EQ(usage_message({"probe", "--wait", "5x"}),
            "--wait is '5x': expected a time such as 250ms, 5s, 2m or 1h / --help lists the options");
  EXPECT_NE(usage_message({"probe", "--min-free=lots"}).find("--min-free is 'lots'"), std::string::npos);
  EXPECT_NE(usage_message({"probe", "--kind", "session"}).find("--kind is 'session': expected heap, types"),
            std::string::npos);
  EXPECT_NE(usage_message({"probe", "-n", "-1"}), "accepted");
}

TEST(ParseOptions, DoubleDashEndsTheOptions) { EXPECT_EQ(parse({"probe", "--", "--each"}).arguments, Words{"--each"}); }

TEST(ParseOptions, TheCommandLineBeatsTheEnvironmentAndThatTheConfiguration) {
  const ConfigFile config("rows = 1\nwait = 1s\n[probe]\nrows = 2\nkind = types\n[other]\n");
  OptionSources sources = environment({{"MEMSNAP_ROWS", "3"}, {"MEMSNAP_COLOR", "never"}});
  sources.config_files = {config.path()};
  const std::vector<Command> commands{probe_command()};

  const ParsedOptions from_line = parse({"probe", "-n", "4", "--config", config.path()}, sources);
  const ParsedOptions from_environment = parse({"probe"}, sources);
  sources.trusted = false;
  const ParsedOptions from_config = parse({"probe"}, sources);

  EXPECT_EQ(from_line.values["rows"].as<WholeNumber>().value, 4u);
  EXPECT_EQ(from_environment.values["rows"].as<WholeNumber>().value, 3u);
  EXPECT_EQ(from_environment.values["color"].as<std::string>(), "never");
  EXPECT_EQ(from_config.values["rows"].as<WholeNumber>().value, 2u);
  EXPECT_EQ(from_config.values["wait"].as<Duration>().value.count(), 1000);
  EXPECT_EQ(from_config.values["kind"].as<std::string>(), "types");
  EXPECT_EQ(from_config.values.count("color"), 0u);
}

TEST(ParseOptions, FlagsComeFromTheEnvironmentToo) {
  EXPECT_TRUE(option_flag(parse({"probe"}, environment({{"MEMSNAP_EACH", "1"}})).values, "each"));
  EXPECT_FALSE(option_flag(parse({"probe"}, environment({{"MEMSNAP_EACH", "0"}})).values, "each"));
}

TEST(ParseOptions, WhatIsWrongOutsideTheCommandLineSaysWhereItStands) {
  const ConfigFile unknown("colour = always\n");
  const ConfigFile* const config = &unknown;

  EXPECT_NE(usage_message({"probe", "--config", config->path()}).find("unknown option 'colour'"), std::string::npos);
  EXPECT_EQ(usage_message({"probe"}, environment({{"MEMSNAP_WAIT", "5x"}})).find("MEMSNAP_WAIT: "), 0u);
  EXPECT_NE(usage_message({"probe", "--config", "/does/not/exist"}).find("/does/not/exist"), std::string::npos);
}

TEST(NearestWord, FindsTheCommandThatWasMeant) {
  const Words known{"summary", "snapshot", "attach", "ps"};

  EXPECT_EQ(nearest_word("sumary", known), "summary");
  EXPECT_EQ(nearest_word("snap", known), "snapshot");
  EXPECT_EQ(nearest_word("atach", known), "attach");
  EXPECT_EQ(nearest_word("frobnicate", known), "");
  EXPECT_EQ(nearest_word("x", known), "");
}

}  // namespace
}  // namespace memsnap
