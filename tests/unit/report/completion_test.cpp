#include "report/cli/completion.h"

#include <gtest/gtest.h>

#include "report/cli/commands.h"
#include "report/cli/program.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

Offered offered_for(const char* form) {
  po::options_description options;
  options.add_options()("name", po::value<std::string>()->value_name(form), "");
  return offered_value(*options.options().front());
}

TEST(Completion, AValueIsOfferedByTheNameOfItsKind) {
  EXPECT_EQ(offered_for("FILE").kind, Offer::kFiles);
  EXPECT_EQ(offered_for("BASE").kind, Offer::kSnapshots);
  EXPECT_EQ(offered_for("DIR").kind, Offer::kFolders);
  EXPECT_EQ(offered_for("PID").kind, Offer::kProcesses);
  EXPECT_EQ(offered_for("DUR").kind, Offer::kNothing);
  EXPECT_EQ(offered_for("SIZE|PCT").kind, Offer::kNothing);
  EXPECT_EQ(offered_for("EVERY:AFTER,...").kind, Offer::kNothing);
}

TEST(Completion, WordsAreTakenFromTheFormAndEndWhereTheUserGoesOn) {
  const Offered strings = offered_for("none|names|prefix=N|hash");
  EXPECT_EQ(strings.kind, Offer::kWords);
  EXPECT_EQ(strings.words, (std::vector<std::string>{"none", "names", "prefix=", "hash"}));
  const Offered allocators = offered_for("malloc,python,mmap");
  EXPECT_EQ(allocators.kind, Offer::kList);
  EXPECT_EQ(allocators.words, (std::vector<std::string>{"malloc", "python", "mmap"}));
  EXPECT_EQ(offered_for("FILE|auto").words, std::vector<std::string>{"auto"});
}

TEST(Completion, EveryCommandOffersWhatItsArgumentsAre) {
  for (const Command& command : all_commands()) {
    EXPECT_FALSE(offered_arguments(command).empty()) << command.name;
  }
  EXPECT_EQ(offered_arguments(summary_command()), (std::vector<Offer>{Offer::kProcesses, Offer::kSnapshots}));
  EXPECT_EQ(offered_arguments(prune_command()), std::vector<Offer>{Offer::kFolders});
}

TEST(Completion, AQuoteInATextEndsNoQuotation) { EXPECT_EQ(in_quotes("the process's"), "'the process'\\''s'"); }

TEST(Completion, EveryShellHasEveryCommandAndOption) {
  const auto commands = all_commands();
  for (const std::string& text : {bash_completion(commands), zsh_completion(commands), fish_completion(commands)}) {
    for (const Command& command : commands) {
      EXPECT_NE(text.find(command.name), std::string::npos) << command.name;
      for (const auto& option : command.options.options()) {
        EXPECT_NE(text.find(option->long_name()), std::string::npos) << command.name << ' ' << option->long_name();
      }
    }
  }
}

}  // namespace
}  // namespace memsnap
