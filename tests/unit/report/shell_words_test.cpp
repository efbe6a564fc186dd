#include "report/cli/shell_words.h"

#include <gtest/gtest.h>

namespace memsnap {
namespace {

TEST(ShellWords, WhatAShellWouldReadIsQuoted) {
  EXPECT_EQ(shell_word("--wait=5s"), "--wait=5s");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word("$(reboot)"), "'$(reboot)'");
  EXPECT_EQ(shell_word("it's"), "'it'\\''s'");
}

TEST(ShellWords, ACommandIsItsWords) {
  EXPECT_EQ(shell_command("/usr/bin/memsnap", {"snapshot", "--name", "a|b"}), "/usr/bin/memsnap snapshot --name 'a|b'");
}

}  // namespace
}  // namespace memsnap
