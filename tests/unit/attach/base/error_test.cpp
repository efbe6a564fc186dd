#include "attach/base/error.h"

#include <gtest/gtest.h>

namespace memsnap {
namespace {

TEST(Error, CarriesTheExitStatusAndTheHintBesideTheMessage) {
  const Error error(ExitCode::kBusy, "4242 is traced by 4000", "detach it first");

  EXPECT_EQ(error.code(), ExitCode::kBusy);
  EXPECT_STREQ(error.what(), "4242 is traced by 4000");
  EXPECT_EQ(error.hint(), "detach it first");
}

TEST(Error, ExitCodesAreTheDocumentedNumbers) {
  EXPECT_EQ(static_cast<int>(ExitCode::kNoSuchProcess), 3);
  EXPECT_EQ(static_cast<int>(ExitCode::kGaveUp), 7);
  EXPECT_EQ(static_cast<int>(ExitCode::kLeftBehind), 12);
  EXPECT_EQ(static_cast<int>(ExitCode::kInternal), 70);
}

}  // namespace
}  // namespace memsnap
