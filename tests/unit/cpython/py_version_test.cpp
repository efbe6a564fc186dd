#include "snapshot/cpython/py_version.h"

#include <gtest/gtest.h>

namespace memsnap {
namespace {

TEST(PyVersion, ReadsTheFrontOfSysVersion) {
  EXPECT_EQ(PyVersion::parse("3.8.18 (default, Aug 25 2023, 13:20:30) \n[GCC 12.2.0]")->hex(), 0x030812f0u);
  EXPECT_EQ(PyVersion::parse("3.13.0rc2+ (heads/main:1234, Jan  1 2026)")->hex(), 0x030d00c2u);
  EXPECT_EQ(PyVersion::parse("3.15.0a1 (main)")->text(), "3.15.0a1");
  EXPECT_EQ(PyVersion::parse("3.9.2")->minor_text(), "3.9");
}

TEST(PyVersion, RefusesWhatIsNoVersion) {
  for (const char* text :
       {"", "3", "3.8", "3.8.", "3.8.x", "3.8.999", "three", "3.8.1x", "3.8.1rc", "3.8.1rc99", "-3.8.1"})
    EXPECT_FALSE(PyVersion::parse(text)) << text;
}

TEST(PyVersion, KnowsTheShapeOfAVersionNumber) {
  EXPECT_TRUE(PyVersion(0x030d00f0).plausible());
  EXPECT_TRUE(PyVersion(0x020712f0).plausible());
  EXPECT_FALSE(PyVersion(0x030d0000).plausible());
  EXPECT_FALSE(PyVersion(0x7f454c46).plausible());
  EXPECT_FALSE(PyVersion(0).plausible());
}

}  // namespace
}  // namespace memsnap
