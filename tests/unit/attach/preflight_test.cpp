#include "attach/preflight.h"

#include <gtest/gtest.h>
#include <unistd.h>

namespace memsnap {
namespace {

bool mentions(const std::vector<std::string>& lines, const char* text) {
  for (const std::string& line : lines) {
    if (line.find(text) != std::string::npos) return true;
  }
  return false;
}

TEST(Preflight, AnotherUsersProcessNeedsTheCapability) {
  const AccessFacts facts{.our_uid = 1000, .target_uid = 33, .user = "www-data"};
  EXPECT_TRUE(mentions(refusal_reasons(facts), "user www-data"));
  EXPECT_FALSE(mentions(refusal_reasons(facts), "yama"));
}

TEST(Preflight, EachYamaScopeIsNamed) {
  for (const int scope : {1, 2, 3}) {
    const AccessFacts facts{.our_uid = 33, .target_uid = 33, .yama_scope = scope};
    EXPECT_TRUE(mentions(refusal_reasons(facts), ("ptrace_scope is " + std::to_string(scope)).c_str()));
  }
  EXPECT_FALSE(mentions(refusal_hints({.yama_scope = 3}), "root"));
  EXPECT_TRUE(mentions(refusal_hints({.yama_scope = 2}), "as root"));
}

TEST(Preflight, AProcessThatIsNotDumpableIsNamed) {
  const AccessFacts facts{.our_uid = 33, .target_uid = 33, .dumpable = false};
  EXPECT_TRUE(mentions(refusal_reasons(facts), "not dumpable"));
}

TEST(Preflight, SomeReasonIsAlwaysGiven) {
  EXPECT_TRUE(mentions(refusal_reasons({.capable = true}), "security module"));
}

TEST(Preflight, AContainersHintsComeOnlyInside) {
  const std::string id(64, 'a');
  EXPECT_TRUE(mentions(refusal_hints({.filtered = true, .container = id}), "docker run --cap-add SYS_PTRACE"));
  EXPECT_FALSE(mentions(refusal_hints({.filtered = true}), "docker"));
  EXPECT_TRUE(mentions(refusal_hints({.filtered = true}), "outside of what confines memsnap"));
}

TEST(Preflight, ReadsThisProcess) {
  const AccessFacts facts = read_access_facts(::getpid());
  EXPECT_EQ(facts.our_uid, ::geteuid());
  EXPECT_EQ(facts.target_uid, ::getuid());
  EXPECT_TRUE(facts.dumpable);
  EXPECT_TRUE(facts.same_user_namespace);
  EXPECT_FALSE(facts.name.empty());
}

}  // namespace
}  // namespace memsnap
