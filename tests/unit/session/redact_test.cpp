#include "snapshot/session/redact.h"

#include <gtest/gtest.h>

namespace memsnap {
namespace {

TEST(Redact, EveryTextOfTheTargetIsSearched) {
  Snapshot snapshot;
  const StringId type = snapshot.graph.strings.add("shop.Secret1");
  const StringId other = snapshot.graph.strings.add("shop.Secret2");
  snapshot.header.target.command_line = "python --password=Secret3";
  Suspect& suspect = snapshot.header.suspects.emplace_back();
  suspect.path = "module Secret4";
  suspect.type = "shop.Secret1";
  snapshot.header.duplicates = {{.name = "Secret5", .count = 1, .bytes = 1}};
  snapshot.threads.emplace().strings.add("thread Secret6");
  snapshot.profile.emplace().strings.add("in Secret7");

  redact(snapshot, {"Secret[0-9]"});
  redact(snapshot, {"Secret[0-9]", "e"});

  EXPECT_EQ(snapshot.graph.strings.text(type), "shop.[redacted]");
  EXPECT_EQ(snapshot.graph.strings.text(other), "shop.[redacted]");
  EXPECT_EQ(snapshot.header.target.command_line, "python --password=[redacted]");
  EXPECT_EQ(suspect.path, "modul[redacted] [redacted]");
  EXPECT_EQ(suspect.type, "shop.[redacted]");
  EXPECT_EQ(snapshot.header.duplicates[0].name, "[redacted]");
  EXPECT_EQ(snapshot.threads->strings.text(1), "thr[redacted]ad [redacted]");
  EXPECT_EQ(snapshot.profile->strings.text(1), "in [redacted]");
}

TEST(Redact, WithoutAnExpressionNothingIsChanged) {
  Snapshot snapshot;
  const StringId type = snapshot.graph.strings.add("shop.Session");

  redact(snapshot, {});

  EXPECT_EQ(snapshot.graph.strings.text(type), "shop.Session");
}

}  // namespace
}  // namespace memsnap
