#include "snapshot/model/string_table.h"

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <vector>

namespace memsnap {
namespace {

TEST(StringTable, GivesEqualTextsOneId) {
  StringTable table;

  const StringId first = table.add("shop.cart");
  const StringId other = table.add("shop");

  EXPECT_EQ(table.add(std::string("shop.cart")), first);
  EXPECT_NE(other, first);
  EXPECT_EQ(table.text(first), "shop.cart");
  EXPECT_EQ(table.add(""), 0u);
  EXPECT_EQ(table.size(), 3u);
}

TEST(StringTable, KeepsIdsWhileItGrows) {
  StringTable table;
  for (StringId i = 1; i <= 20000; ++i) ASSERT_EQ(table.add("name " + std::to_string(i)), i);

  for (StringId i = 1; i <= 20000; ++i) {
    ASSERT_EQ(table.add("name " + std::to_string(i)), i);
    ASSERT_EQ(table.text(i), "name " + std::to_string(i));
  }
}

TEST(StringTable, FindsOnlyWhatWasAdded) {
  StringTable table;
  EXPECT_EQ(table.find("x"), std::nullopt);

  const StringId id = table.add(std::string("a\0b", 3));

  EXPECT_EQ(table.find(std::string("a\0b", 3)), id);
  EXPECT_EQ(table.find("a"), std::nullopt);
  EXPECT_EQ(table.find(""), 0u);
  EXPECT_EQ(table.text(99), "");
}

TEST(StringTable, IsLoadedFromItsOwnParts) {
  StringTable table;
  table.add("one");
  table.add("two");

  StringTable loaded(table.buffer(), table.begin());

  EXPECT_EQ(loaded.text(2), "two");
  EXPECT_EQ(loaded.find("two"), 2u);
  EXPECT_EQ(loaded.add("three"), 3u);
}

TEST(StringTable, RefusesOffsetsThatDoNotFit) {
  EXPECT_THROW(StringTable("abc", {}), std::invalid_argument);
  EXPECT_THROW(StringTable("abc", {0, 1, 3}), std::invalid_argument);
  EXPECT_THROW(StringTable("abc", {0, 0, 4}), std::invalid_argument);
  EXPECT_THROW(StringTable("abc", {0, 0, 5, 3}), std::invalid_argument);
}

}  // namespace
}  // namespace memsnap
