#include "report/cli/retention.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <sstream>
#include <string_view>
#include <tuple>
#include <utility>

#include "attach/base/error.h"
#include "attach/process_id.h"
#include "report/cli/option_values.h"
#include "report/cli/value_types.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

using Members = std::vector<std::size_t>;  // of one target, oldest first

std::int64_t in_ns(std::chrono::milliseconds time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
}

class Choice {
 public:
  Choice(const std::vector<StoredSnapshot>& files, const Retention& retention, std::int64_t now_ns)
      : files_(files), retention_(retention), now_ns_(now_ns), goes_(files.size(), false) {}

  void look_at(const Members& target) {
    if (retention_.keep && target.size() > *retention_.keep) {
      for (std::size_t i = 0; i < target.size() - *retention_.keep; ++i) goes_[target[i]] = true;
    }
    if (!retention_.thin.empty()) thin(target);
  }

  std::vector<std::size_t> finish() {
    if (retention_.keep_for) {
      for (std::size_t i = 0; i < files_.size(); ++i) {
        if (age(i) > in_ns(*retention_.keep_for)) goes_[i] = true;
      }
    }
    if (!goes_.empty()) goes_.back() = false;
    if (retention_.max_total) keep_below(*retention_.max_total);
    std::vector<std::size_t> gone;
    for (std::size_t i = 0; i < goes_.size(); ++i) {
      if (goes_[i]) gone.push_back(i);
    }
    return gone;
  }

 private:
  std::int64_t age(std::size_t file) const {
    const std::int64_t taken = files_[file].taken_at_ns;
    return taken > now_ns_ ? 0 : now_ns_ - taken;
  }

  // The rule for a file's age: that with the longest `after` it has passed.
  const Thinning* rule(std::size_t file) const {
    const Thinning* found = nullptr;
    for (const Thinning& one : retention_.thin) {
      if (age(file) > in_ns(one.after) && (found == nullptr || one.after > found->after)) found = &one;
    }
    return found;
  }

  void thin(const Members& target) {
    std::size_t largest = target.front();
    for (const std::size_t file : target) {
      if (files_[file].rss > files_[largest].rss) largest = file;
    }
    std::optional<std::pair<const Thinning*, std::int64_t>> last;
    for (const std::size_t file : target) {
      const Thinning* const applies = rule(file);
      if (applies == nullptr || goes_[file]) continue;
      const std::pair slot(applies, files_[file].taken_at_ns / in_ns(applies->every));
      const bool is_first_of_slot = last != slot;
      last = slot;
      if (!is_first_of_slot && file != largest && file != target.back()) goes_[file] = true;
    }
  }

  void keep_below(std::uint64_t most) {
    std::uint64_t total = 0;
    for (std::size_t i = files_.size(); i-- > 0;) {
      if (goes_[i]) continue;
      const bool is_last = i + 1 == files_.size();
      if (!is_last && (files_[i].bytes > most || total > most - files_[i].bytes)) {
        // What is older than one that had to go goes too, so that what stays has no gap.
        for (std::size_t older = 0; older <= i; ++older) goes_[older] = true;
        return;
      }
      total += files_[i].bytes;
    }
  }

  const std::vector<StoredSnapshot>& files_;
  const Retention& retention_;
  std::int64_t now_ns_;
  std::vector<bool> goes_;
};

std::string file_name(const std::string& path) { return std::filesystem::path(path).filename().string(); }

bool runs_still(const StoredSnapshot& file) {
  try {
    return ProcessId::open(file.pid).start_time() == file.start_time;
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

void add_retention_options(po::options_description& options) {
  auto add = options.add_options();
  add("keep", po::value<WholeNumber>()->value_name("N"), "keep the N newest of each process");
  add("keep-for", po::value<Duration>()->value_name("DUR"), "keep nothing older");
  add("max-total", po::value<ByteCount>()->value_name("SIZE"),
      "keep all snapshots of the directory together below this: the oldest go first");
}

std::vector<Thinning> parse_thinning(const std::string& text) {
  std::vector<Thinning> rules;
  std::istringstream words(text);
  for (std::string word; std::getline(words, word, ',');) {
    const std::size_t colon = word.find(':');
    const auto every = parse_duration(std::string_view(word).substr(0, colon));
    const auto after =
        colon == std::string::npos ? std::nullopt : parse_duration(std::string_view(word).substr(colon + 1));
    if (!every || !after || every->value.count() == 0) {
      throw Error(ExitCode::kUsage, fmt::format("--thin is '{}': expected EVERY:AFTER,...", text),
                  "1h:1d,1d:30d keeps one an hour after a day, one a day after 30 days");
    }
    rules.push_back({.every = every->value, .after = after->value});
  }
  return rules;
}

Retention read_retention(const po::variables_map& values) {
  Retention retention;
  if (const auto keep = option_value<WholeNumber>(values, "keep")) {
    if (keep->value == 0) throw Error(ExitCode::kUsage, "--keep is 0: at least one is kept", "");
    retention.keep = keep->value;
  }
  if (const auto keep_for = option_value<Duration>(values, "keep-for")) retention.keep_for = keep_for->value;
  if (const auto total = option_value<ByteCount>(values, "max-total")) retention.max_total = total->value;
  if (const auto thin = option_value<std::string>(values, "thin")) retention.thin = parse_thinning(*thin);
  return retention;
}

std::vector<std::size_t> outdated(const std::vector<StoredSnapshot>& files, const Retention& retention,
                                  std::int64_t now_ns, const std::function<bool(const StoredSnapshot&)>& is_running) {
  using Target = std::tuple<std::string, std::string, std::string, pid_t, std::uint64_t>;
  std::map<std::pair<pid_t, std::uint64_t>, bool> running;
  std::map<Target, Members> targets;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const StoredSnapshot& file = files[i];
    const auto [known, is_new] = running.try_emplace({file.pid, file.start_time}, false);
    if (is_new) known->second = is_running(file);
    targets[known->second ? Target("", "", "", file.pid, file.start_time)
                          : Target(file.host, file.container, file.name, 0, 0)]
        .push_back(i);
  }
  Choice choice(files, retention, now_ns);
  for (const auto& [target, members] : targets) choice.look_at(members);
  return choice.finish();
}

Pruned prune(std::vector<StoredSnapshot> files, const Retention& retention, bool pretend, const std::string& taken) {
  Pruned pruned;
  std::stable_partition(files.begin(), files.end(),
                        [name = file_name(taken)](const StoredSnapshot& file) { return file_name(file.path) != name; });
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto gone =
      outdated(files, retention, std::chrono::duration_cast<std::chrono::nanoseconds>(now).count(), runs_still);
  std::size_t next = 0;
  for (std::size_t i = 0; i < files.size(); ++i) {
    const bool goes = next < gone.size() && gone[next] == i;
    if (goes) ++next;
    // Another memsnap may be doing the same.
    if (goes && !pretend && ::unlink(files[i].path.c_str()) != 0 && errno != ENOENT) {
      throw Error(ExitCode::kCannotWrite, fmt::format("cannot remove {}: {}", files[i].path, std::strerror(errno)),
                  "run as its owner, or remove it by hand");
    }
    (goes ? pruned.removed : pruned.kept).push_back(std::move(files[i]));
  }
  return pruned;
}

}  // namespace memsnap
