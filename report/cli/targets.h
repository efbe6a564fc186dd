#pragma once

#include <sys/types.h>

#include <boost/program_options.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace memsnap {

// A process a selector may mean.
struct Candidate {
  pid_t pid = 0;
  pid_t parent = 0;
  std::string user;
  std::string name;
  std::string command_line;
  std::string container;
  std::uint64_t rss = 0;
  std::uint64_t start_time = 0;  // clock ticks since boot
  double age_seconds = 0;
  std::vector<std::string> cgroups;  // its path in each hierarchy, as /proc/PID/cgroup has them
};

enum class Several { kRefuse, kEach, kLargest, kNewest, kOldest };

enum class SelectorKind { kNone, kPid, kName, kTree, kChildren, kContainer, kCgroup, kUnit, kAllPythons };

// The TARGET of a command, as written: one kind of selector, which the others narrow.
struct Selector {
  SelectorKind kind = SelectorKind::kNone;
  pid_t pid = 0;     // of kPid, kTree, kChildren
  std::string text;  // of kName (an extended regular expression on the command line), kContainer, kCgroup, kUnit
  std::optional<std::string> user;
  std::optional<double> older_than;  // seconds
  std::optional<std::uint64_t> rss_over;
  Several several = Several::kRefuse;

  bool is_narrowed() const { return user || older_than || rss_over; }
  bool is_pid_only() const { return kind == SelectorKind::kPid && !is_narrowed(); }
};

// `several`: with the options that say what to do with several matches. `by_size`: with --rss-over.
void add_selector_options(boost::program_options::options_description& options, bool several, bool by_size = true);
// Throws Error kUsage: two selectors, a word that is no pid, a regular expression that is none.
Selector read_selector(const boost::program_options::variables_map& values, const std::vector<std::string>& arguments);
bool is_empty(const Selector& selector);

// What `selector` means out of the Python processes there are; all of them when it is empty. `parents` has every
// process, for --tree and --children. Throws Error kUsage for a bad expression.
std::vector<Candidate> matching(const Selector& selector, const std::vector<Candidate>& pythons,
                                const std::vector<std::pair<pid_t, pid_t>>& parents);
// One target, or several with --each. Throws Error: kNoSuchProcess for none, kUsage with the list for several.
std::vector<Candidate> decide(std::vector<Candidate> matches, Several several);

}  // namespace memsnap
