#include "snapshot/analysis/profile_totals.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <unordered_map>
#include <utility>

namespace memsnap {
namespace {

void add(BlockTotals& sum, const BlockTotals& more) {
  sum.count += more.count;
  sum.bytes += more.bytes;
}

constexpr std::size_t kNotFound = std::string_view::npos;

// Where what a program would import begins; kNotFound: in no folder of packages.
std::size_t after_packages(std::string_view file) {
  for (const std::string_view folder : {"/site-packages/", "/dist-packages/"}) {
    const std::size_t at = file.rfind(folder);
    if (at != kNotFound) return at + folder.size();
  }
  constexpr std::string_view kLibrary = "/lib/python3";
  const std::size_t at = file.rfind(kLibrary);
  if (at == kNotFound) return kNotFound;
  const std::size_t slash = file.find('/', at + kLibrary.size());
  return slash == kNotFound ? kNotFound : slash + 1;
}

// Numbers what the frames belong to.
class Groups {
 public:
  Groups(const AllocationProfile& profile, ProfileBy by) : profile_(profile), by_(by) {
    for (const ProfileFrame& frame : profile.frames) of_frame_.push_back(group_of(frame));
  }
  std::uint32_t of(FrameIndex frame) const { return of_frame_[frame]; }
  std::vector<ProfileEntry> take() { return std::move(entries_); }
  ProfileEntry& entry(std::uint32_t group) { return entries_[group]; }

 private:
  std::uint32_t group_of(const ProfileFrame& frame) {
    std::string key(1, static_cast<char>('0' + static_cast<int>(frame.kind)));
    const auto put = [&](std::uint32_t number) { key.append(reinterpret_cast<const char*>(&number), sizeof(number)); };
    const std::string_view file = profile_.strings.text(frame.file);
    const std::string module = by_ == ProfileBy::kModule ? module_of_file(file) : "";
    if (by_ == ProfileBy::kModule) {
      key += module;
    } else {
      put(frame.file);
      if (by_ != ProfileBy::kFile) put(frame.function);
      if (by_ == ProfileBy::kFunction) put(frame.first_line);
      if (by_ == ProfileBy::kLine) put(frame.line);
    }
    const auto [found, is_new] = known_.try_emplace(std::move(key), static_cast<std::uint32_t>(entries_.size()));
    if (is_new) {
      ProfileEntry& entry = entries_.emplace_back();
      entry.kind = frame.kind;
      entry.file = by_ == ProfileBy::kModule ? "" : std::string(file);
      if (by_ == ProfileBy::kModule) entry.function = module;
      if (by_ == ProfileBy::kFunction || by_ == ProfileBy::kLine) {
        entry.function = frame.kind == ProfileFrameKind::kCut ? kCutStack : profile_.strings.text(frame.function);
      }
      if (by_ == ProfileBy::kLine) entry.line = frame.line;
      if (by_ == ProfileBy::kFunction) entry.first_line = frame.first_line;
    }
    return found->second;
  }

  const AllocationProfile& profile_;
  ProfileBy by_;
  std::unordered_map<std::string, std::uint32_t> known_;
  std::vector<std::uint32_t> of_frame_;
  std::vector<ProfileEntry> entries_;
};

// Depth first, so that a group is counted once for each stack in which it is.
void add_totals(const AllocationProfile& profile, const CallSums& sums, Groups& groups, std::size_t group_count) {
  const CallChildren children = children_of(sums.parent);
  std::vector<std::uint32_t> times(group_count);  // on the path from the root
  std::vector<std::pair<CallIndex, std::uint32_t>> path{{0, children.begin[0]}};
  while (!path.empty()) {
    auto& [call, next] = path.back();
    if (next == children.begin[call + std::size_t{1}]) {
      if (call != 0 && !sums.hidden[call]) --times[groups.of(profile.call_frame[call])];
      path.pop_back();
      continue;
    }
    const CallIndex below = children.child[next++];
    if (!sums.hidden[below]) {
      const std::uint32_t group = groups.of(profile.call_frame[below]);
      add(groups.entry(group).own, sums.own[below]);
      if (times[group]++ == 0) add(groups.entry(group).total, sums.total[below]);
    }
    path.emplace_back(below, children.begin[below]);
  }
}

// Of each function the line that allocated most.
void choose_lines(const AllocationProfile& profile, const CallSums& sums, Groups& groups) {
  std::vector<BlockTotals> own(profile.frames.size());
  std::vector<BlockTotals> total(profile.frames.size());
  for (CallIndex call = 1; call < profile.call_count(); ++call) {
    add(own[profile.call_frame[call]], sums.own[call]);
    add(total[profile.call_frame[call]], sums.total[call]);
  }
  std::unordered_map<std::uint32_t, FrameIndex> best;
  for (FrameIndex frame = 0; frame < profile.frames.size(); ++frame) {
    if (profile.frames[frame].line == 0) continue;
    const auto rank = [&](FrameIndex one) {
      return std::make_tuple(own[one].bytes, total[one].bytes, own[one].count, ~profile.frames[one].line);
    };
    const auto [found, is_new] = best.try_emplace(groups.of(frame), frame);
    if (!is_new && rank(frame) > rank(found->second)) found->second = frame;
  }
  for (const auto& [group, frame] : best) groups.entry(group).line = profile.frames[frame].line;
}

std::vector<ProfileEntry> by_row(const AllocationProfile& profile, const std::vector<BlockTotals>& column,
                                 ProfileBy by) {
  std::vector<ProfileEntry> entries;
  if (by == ProfileBy::kThread) {
    for (const ProfileThread& thread : profile.threads) {
      ProfileEntry& entry = entries.emplace_back();
      entry.function = profile.strings.text(thread.name);
      entry.tid = thread.tid;
    }
  } else {
    for (const ProfileAllocator& allocator : profile.allocators) {
      entries.emplace_back().function = profile.strings.text(allocator.name);
    }
  }
  for (std::size_t row = 0; row < profile.row_count(); ++row) {
    ProfileEntry& entry =
        entries[by == ProfileBy::kThread ? profile.row_thread[row] : std::uint32_t{profile.row_allocator[row]}];
    add(entry.own, column[row]);
    add(entry.total, column[row]);
  }
  return entries;
}

}  // namespace

std::vector<ProfileEntry> profile_totals(const AllocationProfile& profile, const std::vector<BlockTotals>& column,
                                         ProfileBy by, bool hide_imports) {
  std::vector<ProfileEntry> entries;
  if (by == ProfileBy::kThread || by == ProfileBy::kAllocator) {
    entries = by_row(profile, column, by);
  } else {
    const CallSums sums = sum_calls(profile, column, hide_imports);
    Groups groups(profile, by);
    add_totals(profile, sums, groups, profile.frames.size());
    if (by == ProfileBy::kFunction) choose_lines(profile, sums, groups);
    entries = groups.take();
    ProfileEntry& rest = entries.emplace_back();
    rest.function = kNoStack;
    rest.own = rest.total = sums.own[0];
  }
  std::erase_if(entries, [](const ProfileEntry& entry) { return entry.total == BlockTotals{}; });
  return entries;
}

std::string module_of_file(std::string_view file) {
  constexpr std::string_view kFrozen = "<frozen ";
  if (file.starts_with(kFrozen) && file.ends_with('>')) {
    return std::string(file.substr(kFrozen.size(), file.size() - kFrozen.size() - 1));
  }
  const std::size_t packages = after_packages(file);
  const std::size_t last = file.rfind('/');
  std::string_view path = file;
  if (packages != kNotFound) {
    path = file.substr(packages);
  } else if (last != kNotFound) {
    path = file.substr(last + 1);
    // The name of a package is that of its folder.
    if (path == "__init__.py" && last != 0) path = file.substr(file.rfind('/', last - 1) + 1);
  }
  if (path.ends_with(".py")) path.remove_suffix(3);
  if (path.ends_with("/__init__")) path.remove_suffix(9);
  std::string module(path);
  std::replace(module.begin(), module.end(), '/', '.');
  return module;
}

std::string_view short_path(std::string_view file) {
  const std::size_t packages = after_packages(file);
  if (packages != kNotFound && packages < file.size()) return file.substr(packages);
  const std::size_t last = file.rfind('/');
  if (last == kNotFound || last == 0) return file;
  const std::size_t before = file.rfind('/', last - 1);
  return before == kNotFound ? file : file.substr(before + 1);
}

}  // namespace memsnap
