#include "report/cli/targets.h"

#include <fmt/format.h>
#include <regex.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <iterator>
#include <set>
#include <string_view>
#include <utility>

#include "attach/base/error.h"
#include "report/cli/option_values.h"
#include "report/cli/value_types.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

constexpr std::size_t kListed = 20;

// An extended regular expression, as pgrep takes it.
class Pattern {
 public:
  explicit Pattern(const std::string& text) {
    const int status = ::regcomp(&regex_, text.c_str(), REG_EXTENDED | REG_NOSUB);
    if (status == 0) return;
    std::array<char, 200> reason{};
    ::regerror(status, &regex_, reason.data(), reason.size());
    throw Error(ExitCode::kUsage, fmt::format("--name is '{}': {}", text, reason.data()),
                "an extended regular expression on the command line, as pgrep -f takes it");
  }
  ~Pattern() { ::regfree(&regex_); }
  Pattern(const Pattern&) = delete;
  Pattern& operator=(const Pattern&) = delete;

  bool matches(const std::string& text) const { return ::regexec(&regex_, text.c_str(), 0, nullptr, 0) == 0; }

 private:
  regex_t regex_{};
};

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

// "/a/b" is below "/a", and below itself.
bool is_below(std::string_view path, std::string_view folder) {
  return path.starts_with(folder) && (path.size() == folder.size() || path[folder.size()] == '/');
}

// A cgroup as people write it: with the mount point or without, with a slash at the end or without.
std::string cgroup_path(std::string text) {
  constexpr std::string_view kMount = "/sys/fs/cgroup";
  if (is_below(text, kMount)) text.erase(0, kMount.size());
  while (text.size() > 1 && text.back() == '/') text.pop_back();
  return text.starts_with('/') ? text : "/" + text;
}

// As systemctl: a name without a suffix is a service.
std::string unit_name(const std::string& text) {
  return text.find('.') == std::string::npos ? text + ".service" : text;
}

bool is_in_unit(const std::string& path, const std::string& unit) {
  const std::string part = "/" + unit;
  for (std::size_t at = path.find(part); at != std::string::npos; at = path.find(part, at + 1)) {
    const std::size_t end = at + part.size();
    if (end == path.size() || path[end] == '/') return true;
  }
  return false;
}

bool is_container_id(std::string_view text) {
  constexpr std::size_t kShortest = 4;
  constexpr std::size_t kWhole = 64;
  return text.size() >= kShortest && text.size() <= kWhole &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// A selector, ready to be asked about one process after the other.
class Matcher {
 public:
  Matcher(const Selector& selector, const std::vector<std::pair<pid_t, pid_t>>& parents) : selector_(selector) {
    switch (selector.kind) {
      case SelectorKind::kName:
        pattern_.emplace(selector.text);
        break;
      case SelectorKind::kTree:
        family_ = descendants(selector.pid, parents);
        break;
      case SelectorKind::kChildren:
        for (const auto& [pid, parent] : parents) {
          if (parent == selector.pid) family_.insert(pid);
        }
        break;
      case SelectorKind::kCgroup:
        text_ = cgroup_path(selector.text);
        break;
      case SelectorKind::kUnit:
        text_ = unit_name(selector.text);
        break;
      default:
        text_ = selector.text;
    }
  }

  bool matches(const Candidate& candidate) const {
    if (selector_.user && candidate.user != *selector_.user) return false;
    if (selector_.older_than && candidate.age_seconds < *selector_.older_than) return false;
    if (selector_.rss_over && candidate.rss <= *selector_.rss_over) return false;
    const auto any_cgroup = [&](const auto& test) {
      return std::any_of(candidate.cgroups.begin(), candidate.cgroups.end(), test);
    };
    switch (selector_.kind) {
      case SelectorKind::kPid:
        return candidate.pid == selector_.pid;
      case SelectorKind::kName:
        return pattern_->matches(candidate.command_line);
      case SelectorKind::kTree:
      case SelectorKind::kChildren:
        return family_.count(candidate.pid) != 0;
      case SelectorKind::kContainer:
        return !candidate.container.empty() && candidate.container.starts_with(text_);
      case SelectorKind::kCgroup:
        return any_cgroup([&](const std::string& path) { return is_below(path, text_) || text_ == "/"; });
      case SelectorKind::kUnit:
        return any_cgroup([&](const std::string& path) { return is_in_unit(path, text_); });
      case SelectorKind::kNone:
      case SelectorKind::kAllPythons:
        break;
    }
    return true;
  }

 private:
  const Selector& selector_;
  std::optional<Pattern> pattern_;
  std::set<pid_t> family_;
  std::string text_;
};

// The PID of the command line, and of --tree and --children.
void read_pid_selectors(const po::variables_map& values, const std::vector<std::string>& arguments,
                        const std::function<void(SelectorKind, pid_t, std::string)>& choose) {
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
    choose(SelectorKind::kPid, pid->value, "");
  }
  if (const auto tree = option_value<ProcessNumber>(values, "tree")) choose(SelectorKind::kTree, tree->value, "");
  if (const auto parent = option_value<ProcessNumber>(values, "children"))
    choose(SelectorKind::kChildren, parent->value, "");
}

Several read_several(const po::variables_map& values) {
  Several chosen = Several::kRefuse;
  int choices = 0;
  for (const auto& [option, several] : {std::pair{"each", Several::kEach}, std::pair{"largest", Several::kLargest},
                                        std::pair{"newest", Several::kNewest}, std::pair{"oldest", Several::kOldest}}) {
    if (!option_flag(values, option)) continue;
    chosen = several;
    ++choices;
  }
  if (choices > 1) throw Error(ExitCode::kUsage, "--each, --largest, --newest and --oldest exclude each other", "");
  return chosen;
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

void add_selector_options(po::options_description& options, bool several, bool by_size) {
  auto add = options.add_options();
  add("name", po::value<std::string>()->value_name("REGEX"), "Python processes whose command line matches");
  add("all-pythons", po::bool_switch(), "every Python process");
  add("tree,T", po::value<ProcessNumber>()->value_name("PID"), "PID and its descendants that are Python");
  add("children", po::value<ProcessNumber>()->value_name("PID"), "direct children of PID that are Python");
  add("container", po::value<std::string>()->value_name("ID"), "those in a container, by the beginning of its id");
  add("cgroup", po::value<std::string>()->value_name("PATH"), "those in a control group, or in one below it");
  add("unit", po::value<std::string>()->value_name("NAME"), "those of a systemd unit");
  add("user,u", po::value<std::string>()->value_name("NAME"), "only those of this user");
  add("older-than", po::value<Duration>()->value_name("DUR"), "only those that have run for so long");
  if (by_size) add("rss-over", po::value<ByteCount>()->value_name("SIZE"), "only those with more resident memory");
  if (!several) return;
  add("each", po::bool_switch(), "several match: all, one after the other");
  add("largest", po::bool_switch(), "several match: the one with the most resident memory");
  add("newest", po::bool_switch(), "several match: the one started last");
  add("oldest", po::bool_switch(), "several match: the one started first");
}

Selector read_selector(const po::variables_map& values, const std::vector<std::string>& arguments) {
  Selector selector;
  const auto choose = [&](SelectorKind kind, pid_t pid, std::string text) {
    if (selector.kind != SelectorKind::kNone) {
      throw Error(ExitCode::kUsage,
                  "PID, --name, --all-pythons, --tree, --children, --container, --cgroup and --unit exclude each other",
                  "--user, --older-than and --rss-over narrow any of them");
    }
    selector.kind = kind;
    selector.pid = pid;
    selector.text = std::move(text);
  };
  read_pid_selectors(values, arguments, choose);
  for (const auto& [option, kind] :
       {std::pair{"name", SelectorKind::kName}, std::pair{"container", SelectorKind::kContainer},
        std::pair{"cgroup", SelectorKind::kCgroup}, std::pair{"unit", SelectorKind::kUnit}}) {
    if (auto text = option_value<std::string>(values, option)) choose(kind, 0, std::move(*text));
  }
  if (option_flag(values, "all-pythons")) choose(SelectorKind::kAllPythons, 0, "");
  if (selector.kind == SelectorKind::kName) const Pattern checked(selector.text);
  if (selector.kind == SelectorKind::kContainer && !is_container_id(selector.text)) {
    throw Error(ExitCode::kUsage, fmt::format("--container is '{}': expected the beginning of an id", selector.text),
                "at least 4 of 0-9a-f, as docker ps, podman ps or crictl ps print them");
  }
  selector.user = option_value<std::string>(values, "user");
  if (const auto age = option_value<Duration>(values, "older-than"))
    selector.older_than = std::chrono::duration<double>(age->value).count();
  if (const auto rss = option_value<ByteCount>(values, "rss-over")) selector.rss_over = rss->value;
  selector.several = read_several(values);
  // Who asks for all of them means each of them.
  if (selector.kind == SelectorKind::kAllPythons && selector.several == Several::kRefuse)
    selector.several = Several::kEach;
  return selector;
}

bool is_empty(const Selector& selector) { return selector.kind == SelectorKind::kNone && !selector.is_narrowed(); }

std::vector<Candidate> matching(const Selector& selector, const std::vector<Candidate>& pythons,
                                const std::vector<std::pair<pid_t, pid_t>>& parents) {
  const Matcher matcher(selector, parents);
  std::vector<Candidate> matches;
  std::copy_if(pythons.begin(), pythons.end(), std::back_inserter(matches),
               [&](const Candidate& candidate) { return matcher.matches(candidate); });
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
