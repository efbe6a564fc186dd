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
};

enum class Several { kRefuse, kEach, kLargest, kNewest, kOldest };

// The TARGET of a command, as written.
struct Selector {
  std::optional<pid_t> pid;
  std::optional<std::string> name;  // extended regular expression on the command line
  std::optional<pid_t> tree;
  std::optional<std::string> user;
  Several several = Several::kRefuse;

  bool is_pid_only() const { return pid && !name && !tree && !user; }
};

// `several`: with the options that say what to do with several matches.
void add_selector_options(boost::program_options::options_description& options, bool several);
// Throws Error kUsage: two selectors, a word that is no pid, a regular expression that is none.
Selector read_selector(const boost::program_options::variables_map& values, const std::vector<std::string>& arguments);
bool is_empty(const Selector& selector);

// What `selector` means out of the Python processes there are; all of them when it is empty. `parents` has every
// process, for --tree. Throws Error kUsage for a bad expression.
std::vector<Candidate> matching(const Selector& selector, const std::vector<Candidate>& pythons,
                                const std::vector<std::pair<pid_t, pid_t>>& parents);
// One target, or several with --each. Throws Error: kNoSuchProcess for none, kUsage with the list for several.
std::vector<Candidate> decide(std::vector<Candidate> matches, Several several);

}  // namespace memsnap
