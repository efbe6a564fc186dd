#include "snapshot/analysis/call_tree.h"

#include <algorithm>
#include <cstddef>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "snapshot/analysis/profile_totals.h"

namespace memsnap {
namespace {

void add(BlockTotals& sum, const BlockTotals& more) {
  sum.count += more.count;
  sum.bytes += more.bytes;
}

class CallTreeBuilder {
 public:
  CallTreeBuilder(const AllocationProfile& profile, const CallSums& sums, const TreeLimits& limits)
      : profile_(profile), sums_(sums), limits_(limits), children_(children_of(sums.parent)) {
    const auto all = static_cast<double>(sums.total[0].bytes);
    least_ = static_cast<std::uint64_t>(all * limits.min_percent / 100);
    deepest_ = limits.depth == 0 ? kDeepestCallTree : std::min(limits.depth, kDeepestCallTree);
  }

  TreeNode down() const {
    TreeNode all = top();
    all.size = sums_.own[0].bytes;
    add_below(all, 0, 1);
    return all;
  }

  TreeNode up() const {
    TreeNode all = top();
    std::vector<Place> places;
    for (CallIndex call = 0; call < profile_.call_count(); ++call) {
      if (sums_.own[call] != BlockTotals{}) places.push_back({call, sums_.own[call]});
    }
    add_callers(all, std::move(places), 1);
    return all;
  }

 private:
  // A stack that is on its way out: how far it is, and what it allocated.
  struct Place {
    CallIndex call;
    BlockTotals blocks;
  };
  struct Caller {
    FrameIndex frame = kNoFrame;
    BlockTotals total;
    std::vector<Place> places;
  };

  TreeNode top() const {
    TreeNode all;
    all.label = "all";
    all.count = sums_.total[0].count;
    all.retained = sums_.total[0].bytes;
    return all;
  }

  TreeNode line_of(FrameIndex index, const BlockTotals& total, const BlockTotals& own) const {
    TreeNode node;
    const ProfileFrame* const frame = index == kNoFrame ? nullptr : &profile_.frames[index];
    if (frame == nullptr) {
      node.label = kNoStack;
    } else {
      node.label = frame->kind == ProfileFrameKind::kCut ? kCutStack : profile_.strings.text(frame->function);
      node.file = profile_.strings.text(frame->file);
      node.line = frame->line;
    }
    node.count = total.count;
    node.size = own.bytes;
    node.retained = total.bytes;
    return node;
  }

  bool is_shown(const BlockTotals& total, std::size_t shown, std::uint32_t level) const {
    return level <= deepest_ && total.bytes >= least_ && (limits_.max_children == 0 || shown < limits_.max_children);
  }
  static void hide(TreeNode& node, const BlockTotals& total) {
    ++node.hidden_count;
    node.hidden_retained += total.bytes;
  }

  void add_below(TreeNode& node, CallIndex call, std::uint32_t level) const {
    // Hidden calls have no sums; what is below them has been given to the calls above.
    std::vector<CallIndex> below;
    for (std::uint32_t i = children_.begin[call]; i < children_.begin[call + std::size_t{1}]; ++i) {
      const CallIndex child = children_.child[i];
      if (!sums_.hidden[child] && sums_.total[child] != BlockTotals{}) below.push_back(child);
    }
    std::sort(below.begin(), below.end(), [&](CallIndex a, CallIndex b) {
      return std::make_tuple(sums_.total[b].bytes, sums_.total[b].count, a) <
             std::make_tuple(sums_.total[a].bytes, sums_.total[a].count, b);
    });
    for (const CallIndex child : below) {
      if (!is_shown(sums_.total[child], node.children.size(), level)) {
        hide(node, sums_.total[child]);
        continue;
      }
      TreeNode line = line_of(profile_.call_frame[child], sums_.total[child], sums_.own[child]);
      add_below(line, child, level + 1);
      node.children.push_back(std::move(line));
    }
  }

  void add_callers(TreeNode& node, std::vector<Place> places, std::uint32_t level) const {
    std::unordered_map<FrameIndex, std::size_t> known;
    std::vector<Caller> callers;
    for (const Place& place : places) {
      if (place.call == 0 && level != 1) continue;  // the stack begins here
      const FrameIndex frame = profile_.call_frame[place.call];
      const auto [found, is_new] = known.try_emplace(frame, callers.size());
      if (is_new) callers.push_back({frame, {}, {}});
      Caller& caller = callers[found->second];
      add(caller.total, place.blocks);
      if (place.call != 0) caller.places.push_back({sums_.parent[place.call], place.blocks});
    }
    places = {};
    std::sort(callers.begin(), callers.end(), [](const Caller& a, const Caller& b) {
      return std::make_tuple(b.total.bytes, b.total.count, a.frame) <
             std::make_tuple(a.total.bytes, a.total.count, b.frame);
    });
    for (Caller& caller : callers) {
      if (!is_shown(caller.total, node.children.size(), level)) {
        hide(node, caller.total);
        continue;
      }
      TreeNode line = line_of(caller.frame, caller.total, level == 1 ? caller.total : BlockTotals{});
      add_callers(line, std::move(caller.places), level + 1);
      node.children.push_back(std::move(line));
    }
  }

  const AllocationProfile& profile_;
  const CallSums& sums_;
  const TreeLimits& limits_;
  CallChildren children_;
  std::uint64_t least_ = 0;
  std::uint32_t deepest_ = 0;
};

}  // namespace

TreeNode build_call_tree(const AllocationProfile& profile, const CallSums& sums, bool inverted,
                         const TreeLimits& limits) {
  const CallTreeBuilder builder(profile, sums, limits);
  return inverted ? builder.up() : builder.down();
}

}  // namespace memsnap
