#include "snapshot/memory/native_owners.h"

#include <algorithm>
#include <cstddef>

namespace memsnap {
namespace {

constexpr std::uint32_t kNone = 0xffffffff;

// The references between blocks, by the block they begin in.
class LinkTable {
 public:
  explicit LinkTable(const NativeLinks& links) : links_(links), begin_(links.blocks + std::size_t{1}) {
    for (const auto& [from, to] : links.from_block) ++begin_[from + std::size_t{1}];
    for (std::size_t i = 1; i < begin_.size(); ++i) begin_[i] += begin_[i - 1];
  }
  std::uint32_t begin(std::uint32_t block) const { return begin_[block]; }
  std::uint32_t end(std::uint32_t block) const { return begin_[block + std::size_t{1}]; }
  std::uint32_t target(std::uint32_t link) const { return links_.from_block[link].second; }

 private:
  const NativeLinks& links_;
  std::vector<std::uint32_t> begin_;
};

// Numbers the groups of blocks that all lead to one another (Tarjan's strongly connected components, without
// recursion).
class Groups {
 public:
  Groups(const LinkTable& table, std::uint32_t blocks)
      : table_(table), group_(blocks, kNone), low_(blocks, 0), order_(blocks, kNone) {}

  std::vector<std::uint32_t> run() {
    for (std::uint32_t block = 0; block < group_.size(); ++block) {
      if (order_[block] == kNone) visit(block);
    }
    return std::move(group_);
  }

 private:
  struct Step {
    std::uint32_t block, next_link;
  };

  void visit(std::uint32_t root) {
    path_.push_back(enter(root));
    while (!path_.empty()) {
      Step& step = path_.back();
      const std::uint32_t block = step.block;
      if (step.next_link < table_.end(block)) {
        const std::uint32_t to = table_.target(step.next_link++);
        if (order_[to] == kNone) {
          path_.push_back(enter(to));
        } else if (group_[to] == kNone) {
          low_[block] = std::min(low_[block], order_[to]);
        }
        continue;
      }
      path_.pop_back();
      if (!path_.empty()) low_[path_.back().block] = std::min(low_[path_.back().block], low_[block]);
      if (low_[block] == order_[block]) close(block);
    }
  }

  Step enter(std::uint32_t block) {
    order_[block] = low_[block] = entered_++;
    open_.push_back(block);
    return {block, table_.begin(block)};
  }

  void close(std::uint32_t first) {
    for (std::uint32_t block = kNone; block != first;) {
      block = open_.back();
      open_.pop_back();
      group_[block] = groups_;
    }
    ++groups_;
  }

  const LinkTable& table_;
  std::vector<std::uint32_t> group_, low_, order_;
  std::vector<std::uint32_t> open_;
  std::vector<Step> path_;
  std::uint32_t entered_ = 0;
  std::uint32_t groups_ = 0;
};

class TreeGrowth {
 public:
  explicit TreeGrowth(const NativeLinks& links)
      : links_(links),
        table_(links),
        group_(Groups(table_, links.blocks).run()),
        parents_(links.blocks),
        when_(links.blocks, kNone) {}

  std::vector<NativeParent> run() {
    grow_from(links_.from_object);
    grow_from(links_.from_module);
    return std::move(parents_);
  }

 private:
  // In breadth, over blocks that no earlier call reached: each group as a whole before any other is entered from it.
  void grow_from(const std::vector<NativeLinks::Link>& objects) {
    std::vector<std::uint32_t> entries;
    ++now_;
    for (const auto& [object, block] : objects) {
      if (when_[block] != kNone) continue;
      parents_[block] = {object, true};
      when_[block] = now_;
      entries.push_back(block);
    }
    while (!entries.empty()) {
      std::vector<std::uint32_t> others;  // blocks with links to other groups
      for (std::vector<std::uint32_t> level = std::move(entries); !level.empty();) {
        others.insert(others.end(), level.begin(), level.end());
        level = follow(level, true);
      }
      entries = follow(others, false);
    }
  }

  // What is newly reached by the links of `level`, inside their groups or out of them.
  std::vector<std::uint32_t> follow(const std::vector<std::uint32_t>& level, bool inside) {
    std::vector<std::uint32_t> reached;
    ++now_;
    for (const std::uint32_t from : level) {
      for (std::uint32_t i = table_.begin(from); i < table_.end(from); ++i) {
        const std::uint32_t to = table_.target(i);
        if ((group_[from] == group_[to]) != inside) continue;
        if (when_[to] == kNone) {
          when_[to] = now_;
          reached.push_back(to);
        } else if (when_[to] != now_ || links_.density[parents_[to].number] >= links_.density[from]) {
          continue;
        }
        parents_[to] = {from, false};
      }
    }
    return reached;
  }

  const NativeLinks& links_;
  LinkTable table_;
  std::vector<std::uint32_t> group_;
  std::vector<NativeParent> parents_;
  std::vector<std::uint32_t> when_;  // the step in which it was reached
  std::uint32_t now_ = 0;
};

}  // namespace

std::vector<NativeParent> assign_parents(const NativeLinks& links) { return TreeGrowth(links).run(); }

}  // namespace memsnap
