#include "snapshot/memory/native_owners.h"

#include <cstddef>

namespace memsnap {
namespace {

constexpr std::uint32_t kNone = 0xffffffff;

class TreeGrowth {
 public:
  explicit TreeGrowth(const NativeLinks& links)
      : links_(links), begin_(links.blocks + std::size_t{1}), parents_(links.blocks), depth_(links.blocks, kNone) {
    for (const auto& [from, to] : links.from_block) ++begin_[from + std::size_t{1}];
    for (std::size_t i = 1; i < begin_.size(); ++i) begin_[i] += begin_[i - 1];
  }

  std::vector<NativeParent> run() {
    grow_from(links_.from_object);
    grow_from(links_.from_module);
    return std::move(parents_);
  }

 private:
  // In breadth, over blocks that no earlier call reached.
  void grow_from(const std::vector<NativeLinks::Link>& objects) {
    std::vector<std::uint32_t> level;
    for (const auto& [object, block] : objects) {
      if (depth_[block] != kNone) continue;
      parents_[block] = {object, true};
      depth_[block] = 1;
      level.push_back(block);
    }
    for (std::uint32_t depth = 2; !level.empty(); ++depth) {
      std::vector<std::uint32_t> next;
      for (const std::uint32_t from : level) {
        for (std::uint32_t i = begin_[from]; i < begin_[from + std::size_t{1}]; ++i) {
          const std::uint32_t to = links_.from_block[i].second;
          if (depth_[to] == kNone) {
            depth_[to] = depth;
            next.push_back(to);
          } else if (depth_[to] != depth || links_.density[parents_[to].number] >= links_.density[from]) {
            continue;
          }
          parents_[to] = {from, false};
        }
      }
      level = std::move(next);
    }
  }

  const NativeLinks& links_;
  std::vector<std::uint32_t> begin_;
  std::vector<NativeParent> parents_;
  std::vector<std::uint32_t> depth_;
};

}  // namespace

std::vector<NativeParent> assign_parents(const NativeLinks& links) { return TreeGrowth(links).run(); }

}  // namespace memsnap
