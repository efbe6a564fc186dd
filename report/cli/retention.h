#pragma once

#include <boost/program_options.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "report/cli/stored_snapshots.h"

namespace memsnap {

// After `after` only one in every `every` is kept.
struct Thinning {
  std::chrono::milliseconds every{};
  std::chrono::milliseconds after{};
};

// Which snapshots may go. A target is a process; those that have ended count as one for each host, container and name.
struct Retention {
  std::optional<std::size_t> keep{};                    // newest of a target
  std::optional<std::chrono::milliseconds> keep_for{};  // nothing older
  std::optional<std::uint64_t> max_total{};             // bytes of all together: the oldest go first
  std::vector<Thinning> thin{};                         // the first, the last and the largest of a target stay

  bool is_empty() const { return !keep && !keep_for && !max_total && thin.empty(); }
};

void add_retention_options(boost::program_options::options_description& options);
Retention read_retention(const boost::program_options::variables_map& values);
// "1h:1d,1d:30d". Throws Error kUsage.
std::vector<Thinning> parse_thinning(const std::string& text);

// Indices of those that go, ascending. `files` oldest first; the last one stays whatever the rules say. What lies in
// the future counts as new.
std::vector<std::size_t> outdated(const std::vector<StoredSnapshot>& files, const Retention& retention,
                                  std::int64_t now_ns, const std::function<bool(const StoredSnapshot&)>& is_running);

struct Pruned {
  std::vector<StoredSnapshot> removed;
  std::vector<StoredSnapshot> kept;
};
// Removes those of `files`, the oldest first, or (`pretend`) only says which. Throws Error kCannotWrite when a file
// cannot be removed. `taken`: a file that was just written: it is the newest whatever its time says, since the clock
// may have been set back.
Pruned prune(std::vector<StoredSnapshot> files, const Retention& retention, bool pretend,
             const std::string& taken = "");

}  // namespace memsnap
