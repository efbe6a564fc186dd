#include "report/cli/targets.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "attach/base/error.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

Candidate process(pid_t pid, const std::string& user, const std::string& command_line, std::uint64_t rss,
                  std::uint64_t start_time) {
  Candidate candidate;
  candidate.pid = pid;
  candidate.user = user;
  candidate.command_line = command_line;
  candidate.rss = rss;
  candidate.start_time = start_time;
  return candidate;
}

const std::vector<Candidate>& pythons() {
  static const std::vector<Candidate> list{process(10, "www", "gunicorn: worker [shop]", 300, 1),
                                           process(11, "www", "gunicorn: worker [shop]", 900, 2),
                                           process(12, "etl", "python3 nightly.py", 100, 3)};
  return list;
}

Selector select(const std::vector<std::string>& words) {
  po::options_description options;
  add_selector_options(options, true);
  options.add_options()("argument", po::value<std::vector<std::string>>());
  po::positional_options_description positional;
  positional.add("argument", -1);
  po::variables_map values;
  po::store(po::command_line_parser(words).options(options).positional(positional).run(), values);
  po::notify(values);
  return read_selector(values, values.count("argument") != 0 ? values["argument"].as<std::vector<std::string>>()
                                                             : std::vector<std::string>());
}

std::vector<pid_t> pids(const std::vector<Candidate>& candidates) {
  std::vector<pid_t> list;
  list.reserve(candidates.size());
  for (const Candidate& candidate : candidates) list.push_back(candidate.pid);
  return list;
}

template <typename Action>
ExitCode code_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return ExitCode::kDone;
}

TEST(Selector, IsAPidOrOneOfTheOthers) {
  EXPECT_TRUE(select({"4242"}).is_pid_only());
  EXPECT_EQ(code_of([] { select({"4242", "--name", "x"}); }), ExitCode::kUsage);
  EXPECT_EQ(code_of([] { select({"./4242"}); }), ExitCode::kUsage);
  EXPECT_EQ(code_of([] { select({"1", "2"}); }), ExitCode::kUsage);
  EXPECT_EQ(code_of([] { select({"--name", "(["}); }), ExitCode::kUsage);
  EXPECT_EQ(code_of([] { select({"--name", "x", "--each", "--newest"}); }), ExitCode::kUsage);
}

TEST(Matching, ByCommandLineAndUser) {
  EXPECT_EQ(pids(matching(select({"--name", "worker .shop"}), pythons(), {})), (std::vector<pid_t>{10, 11}));
  EXPECT_EQ(pids(matching(select({"--user", "etl"}), pythons(), {})), (std::vector<pid_t>{12}));
  EXPECT_TRUE(matching(select({"--name", "worker", "--user", "etl"}), pythons(), {}).empty());
}

TEST(Matching, DescendantsThroughProcessesThatAreNotPython) {
  // 10 -> 50 (a shell) -> 12, listed children first
  EXPECT_EQ(pids(matching(select({"--tree", "10"}), pythons(), {{12, 50}, {50, 10}, {10, 1}, {11, 1}})),
            (std::vector<pid_t>{10, 12}));
}

TEST(Decide, SeveralMatchesAreRefusedWithAList) {
  try {
    decide(pythons(), Several::kRefuse);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUsage);
    EXPECT_NE(error.hint().find("nightly.py"), std::string::npos);
  }
}

TEST(Decide, ChoosesAsAsked) {
  EXPECT_EQ(pids(decide(pythons(), Several::kLargest)), std::vector<pid_t>{11});
  EXPECT_EQ(pids(decide(pythons(), Several::kNewest)), std::vector<pid_t>{12});
  EXPECT_EQ(pids(decide(pythons(), Several::kOldest)), std::vector<pid_t>{10});
  EXPECT_EQ(pids(decide(pythons(), Several::kEach)), (std::vector<pid_t>{10, 11, 12}));
  EXPECT_EQ(code_of([] { decide({}, Several::kEach); }), ExitCode::kNoSuchProcess);
}

std::vector<pid_t> chosen(const std::vector<std::string>& words) {
  std::vector<Candidate> list = pythons();
  list[0].cgroups = {"/", "/system.slice/shop.service/worker"};
  list[1].cgroups = {"/system.slice/shop.service2"};
  list[2].cgroups = {"/system.slice/shop.service"};
  list[1].container = "3f2a91c0" + std::string(56, 'a');
  list[2].age_seconds = 100;
  return pids(matching(select(words), list, {{10, 1}, {11, 10}, {12, 11}}));
}

TEST(Selector, MeansProcessesByTheirPlace) {
  using Pids = std::vector<pid_t>;
  EXPECT_EQ(chosen({"--all-pythons"}), (Pids{10, 11, 12}));
  EXPECT_EQ(chosen({"--children", "10"}), (Pids{11}));
  EXPECT_EQ(chosen({"--tree", "11"}), (Pids{11, 12}));
  EXPECT_EQ(chosen({"--unit", "shop"}), (Pids{10, 12}));
  EXPECT_EQ(chosen({"--unit", "shop.service"}), (Pids{10, 12}));
  EXPECT_EQ(chosen({"--unit", "hop"}), (Pids{}));
  EXPECT_EQ(chosen({"--cgroup", "/system.slice/shop.service"}), (Pids{10, 12}));
  EXPECT_EQ(chosen({"--cgroup", "/sys/fs/cgroup/system.slice/shop.service/"}), (Pids{10, 12}));
  EXPECT_EQ(chosen({"--cgroup", "system.slice"}), (Pids{10, 11, 12}));
  EXPECT_EQ(chosen({"--cgroup", "/"}), (Pids{10, 11, 12}));
  EXPECT_EQ(chosen({"--container", "3f2a91c0"}), (Pids{11}));
  EXPECT_EQ(chosen({"--container", "4f2a91c0"}), (Pids{}));
}

TEST(Selector, IsNarrowed) {
  using Pids = std::vector<pid_t>;
  EXPECT_EQ(chosen({"--older-than", "1m"}), (Pids{12}));
  EXPECT_EQ(chosen({"--rss-over", "100"}), (Pids{10, 11}));
  EXPECT_EQ(chosen({"--unit", "shop", "--user", "etl"}), (Pids{12}));
  EXPECT_FALSE(select({"4242", "--rss-over", "1"}).is_pid_only());
  EXPECT_TRUE(is_empty(select({})));
  EXPECT_FALSE(is_empty(select({"--older-than", "1h"})));
}

TEST(Selector, OfAllMeansEach) {
  EXPECT_EQ(select({"--all-pythons"}).several, Several::kEach);
  EXPECT_EQ(select({"--all-pythons", "--largest"}).several, Several::kLargest);
  EXPECT_EQ(select({"--unit", "shop"}).several, Several::kRefuse);
}

TEST(Selector, IsRefusedWhenItMeansNothing) {
  EXPECT_EQ(code_of([] { select({"--unit", "x", "--cgroup", "y"}); }), ExitCode::kUsage);
  EXPECT_EQ(code_of([] { select({"1", "--all-pythons"}); }), ExitCode::kUsage);
  EXPECT_EQ(code_of([] { select({"--container", "web"}); }), ExitCode::kUsage);
}

}  // namespace
}  // namespace memsnap
