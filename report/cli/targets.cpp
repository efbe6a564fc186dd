#include "report/cli/targets.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "attach/base/error.h"
#include "report/cli/option_values.h"
#include "report/cli/pattern.h"
#include "report/cli/value_types.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::size_t kListed = 20;

std::set<pid_t> descendants(pid_t root, const std::vector<std::pair<pid_t, pid_t>>& parents) {
  std::set<pid_t> found{root};
  // A process may be listed before its parent: again until nothing is added.
  for (bool grew = true; grew;) {
    grew = false;
    for (const auto& [pid, parent] : parents) {
      if (found.count(parent) != 0 && found.insert(pid).second) grew = true;
    }
  }
  return found;
}

std::string list_of(const std::vector<Candidate>& matches) {
  std::string list;
  for (std::size_t i = 0; i < std::min(matches.size(), kListed); ++i) {
    const Candidate& match = matches[i];
    list += fmt::format("{:>7}  {}  {}  {}\n", match.pid, match.user, bytes_text(match.rss, Units::kIec),
                        match.command_line.empty() ? match.name : match.command_line.substr(0, 100));
  }
  if (matches.size() > kListed) list += fmt::format("        and {} more\n", matches.size() - kListed);
  return list;
}

}  // namespace

void add_selector_options(po::options_description& options, bool several) {
  auto add = options.add_options();
  add("name", po::value<std::string>()->value_name("REGEX"), "Python processes whose command line matches");
  add("tree,T", po::value<ProcessNumber>()->value_name("PID"), "PID and its descendants that are Python");
  add("user,u", po::value<std::string>()->value_name("NAME"), "only those of this user");
  if (!several) return;
  add("each", po::bool_switch(), "several match: all, one after the other");
  add("largest", po::bool_switch(), "several match: the one with the most resident memory");
  add("newest", po::bool_switch(), "several match: the one started last");
  add("oldest", po::bool_switch(), "several match: the one started first");
}

Selector read_selector(const po::variables_map& values, const std::vector<std::string>& arguments) {
  Selector selector;
  if (arguments.size() > 1) {
    throw Error(ExitCode::kUsage, fmt::format("one PID at a time, not {}", arguments.size()),
                "several targets: --name, --tree or --user, with --each");
  }
  if (!arguments.empty()) {
    const auto pid = parse_process_number(arguments.front());
    if (!pid) {
      throw Error(ExitCode::kUsage, fmt::format("'{}' is not the number of a process", arguments.front()),
                  fmt::format("memsnap ps lists them; --name '{}' looks for a name", arguments.front()));
    }
    selector.pid = pid->value;
  }
  selector.name = option_value<std::string>(values, "name");
  if (const auto tree = option_value<ProcessNumber>(values, "tree")) selector.tree = tree->value;
  selector.user = option_value<std::string>(values, "user");
  if (selector.name) const Pattern checked("--name", *selector.name);
  if (int{selector.pid.has_value()} + int{selector.name.has_value()} + int{selector.tree.has_value()} > 1) {
    throw Error(ExitCode::kUsage, "PID, --name and --tree exclude each other", "--user narrows any of them");
  }
  int choices = 0;
  for (const auto& [option, several] : {std::pair{"each", Several::kEach}, std::pair{"largest", Several::kLargest},
                                        std::pair{"newest", Several::kNewest}, std::pair{"oldest", Several::kOldest}}) {
    if (!option_flag(values, option)) continue;
    selector.several = several;
    ++choices;
  }
  if (choices > 1) throw Error(ExitCode::kUsage, "--each, --largest, --newest and --oldest exclude each other", "");
  return selector;
}

bool is_empty(const Selector& selector) { return !selector.pid && !selector.name && !selector.tree && !selector.user; }

std::vector<Candidate> matching(const Selector& selector, const std::vector<Candidate>& pythons,
                                const std::vector<std::pair<pid_t, pid_t>>& parents) {
  std::optional<Pattern> pattern;
  if (selector.name) pattern.emplace("--name", *selector.name);
  std::set<pid_t> family;
  if (selector.tree) family = descendants(*selector.tree, parents);
  std::vector<Candidate> matches;
  for (const Candidate& candidate : pythons) {
    if (selector.pid && candidate.pid != *selector.pid) continue;
    if (pattern && !pattern->matches(candidate.command_line)) continue;
    if (selector.tree && family.count(candidate.pid) == 0) continue;
    if (selector.user && candidate.user != *selector.user) continue;
    matches.push_back(candidate);
  }
  return matches;
}

std::vector<Candidate> decide(std::vector<Candidate> matches, Several several) {
  if (matches.empty()) {
    throw Error(ExitCode::kNoSuchProcess, "no Python process matches", "memsnap ps lists those there are");
  }
  if (matches.size() == 1 || several == Several::kEach) return matches;
  const auto earlier = [](const Candidate& a, const Candidate& b) {
    return std::pair(a.start_time, a.pid) < std::pair(b.start_time, b.pid);
  };
  switch (several) {
    case Several::kLargest:
      return {*std::max_element(matches.begin(), matches.end(),
                                [](const Candidate& a, const Candidate& b) { return a.rss < b.rss; })};
    case Several::kNewest:
      return {*std::max_element(matches.begin(), matches.end(), earlier)};
    case Several::kOldest:
      return {*std::min_element(matches.begin(), matches.end(), earlier)};
    case Several::kRefuse:
    case Several::kEach:
      break;
  }
  throw Error(ExitCode::kUsage, fmt::format("{} processes match", matches.size()),
              list_of(matches) + "choose one by its PID, or with --largest, --newest or --oldest; --each takes all");
}

}  // namespace memsnap
