#include "snapshot/walk/kept_text.h"

#include <gtest/gtest.h>

#include "attach/base/error.h"

namespace memsnap {
namespace {

TEST(Redactor, ReplacesEveryMatch) {
  const Redactor redactor({"[0-9]{4}-[0-9]{4}", "secret[a-z]*"});
  EXPECT_EQ(redactor.apply("card 1234-5678 and 1111-2222, secretly"), "card [redacted] and [redacted], [redacted]");
  EXPECT_EQ(redactor.apply("nothing"), "nothing");
  EXPECT_EQ(redactor.apply(""), "");
}

TEST(Redactor, AnExpressionThatMatchesNothingIsHarmless) {
  EXPECT_EQ(Redactor({"x*"}).apply("axxb"), "a[redacted]b");
  EXPECT_EQ(Redactor({"^a"}).apply("aab"), "[redacted]ab");
}

TEST(Redactor, RefusesWhatDoesNotCompile) {
  try {
    const Redactor redactor({"(open"});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_NE(std::string(error.what()).find("(open"), std::string::npos);
  }
}

// The first vectors of the SipHash-2-4 paper: key 00 01 ... 0f, input empty, then 00, 00 01, ...
TEST(KeyedHash, IsSipHash24Folded) {
  constexpr std::array<std::uint64_t, 2> kKey = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
  const auto folded = [](std::uint64_t hash) { return static_cast<std::uint32_t>(hash ^ hash >> 32); };
  std::string text;
  for (char c = 0; c < 15; ++c) text.push_back(c);
  EXPECT_EQ(keyed_hash(kKey, ""), folded(0x726fdb47dd0e0e31));
  EXPECT_EQ(keyed_hash(kKey, std::string_view(text).substr(0, 1)), folded(0x74f839c593dc67fd));
  EXPECT_EQ(keyed_hash(kKey, text), folded(0xa129ca6149be45e5));
}

}  // namespace
}  // namespace memsnap
