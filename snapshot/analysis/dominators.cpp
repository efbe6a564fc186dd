#include "snapshot/analysis/dominators.h"

#include <algorithm>
#include <utility>

// Semidominators after Lengauer and Tarjan, with path compression; immediate dominators as nearest common ancestors
// after Georgiadis ("Semi-NCA"), with skip pointers so that no graph makes the climb long: O(edges * log nodes).
namespace memsnap {
namespace {

// References that are neither in the search tree nor forward: a list for each target, newest first.
class CrossEdges {
 public:
  static constexpr std::uint32_t kEnd = 0;  // index 0 is not used

  struct Entry {
    std::uint32_t source;
    std::uint32_t next;
  };

  std::uint32_t add(std::uint32_t source, std::uint32_t next) {
    if (chunks_.back().size() == kChunk) chunks_.emplace_back().reserve(kChunk);
    chunks_.back().push_back({.source = source, .next = next});
    return count_++;
  }
  const Entry& operator[](std::uint32_t i) const { return chunks_[i >> kChunkBits][i & (kChunk - 1)]; }

 private:
  static constexpr unsigned kChunkBits = 18;
  static constexpr std::uint32_t kChunk = 1u << kChunkBits;

  // In pieces, so that growing never needs the room twice. The first entry is not used.
  std::vector<std::vector<Entry>> chunks_{std::vector<Entry>(1)};
  std::uint32_t count_ = kEnd + 1;
};

// Numbers the nodes in depth-first order and sorts the references into tree, forward and other ones.
class Search {
 public:
  Search(const HeapGraph& graph, const Ownership& ownership) : graph_(graph), ownership_(ownership) {
    const std::size_t count = graph.node_count() + 1;
    number_.resize(graph.node_count());
    vertex.reserve(count);
    parent.reserve(count);
    semi.reserve(count);
    cross_of.reserve(count);
    enter(kNoNode, 0);
    for (const Root& root : graph.roots) stack_.emplace_back(root.node, 0);
    std::reverse(stack_.begin(), stack_.end());
  }

  void run() {
    while (!stack_.empty()) {
      const auto [node, from] = stack_.back();
      stack_.pop_back();
      if (number_[node] != 0) {
        refer(from, number_[node]);
      } else {
        visit(node, from);
      }
    }
  }

  // By number.
  std::vector<NodeIndex> vertex;
  std::vector<std::uint32_t> parent;
  std::vector<std::uint32_t> semi;  // the lowest source of a tree or forward reference
  std::vector<std::uint32_t> cross_of;
  CrossEdges cross;

 private:
  std::uint32_t enter(NodeIndex node, std::uint32_t from) {
    vertex.push_back(node);
    parent.push_back(from);
    semi.push_back(from);
    cross_of.push_back(CrossEdges::kEnd);
    return static_cast<std::uint32_t>(vertex.size() - 1);
  }

  void refer(std::uint32_t from, std::uint32_t to) {
    if (from < to) {
      semi[to] = std::min(semi[to], from);
    } else if (from > to && semi[to] != 0) {
      cross_of[to] = cross.add(from, cross_of[to]);
    }
  }

  void visit(NodeIndex node, std::uint32_t from) {
    const std::uint32_t number = enter(node, from);
    number_[node] = number;
    const std::uint32_t begin = graph_.edge_begin[node];
    NodeIndex previous = node;
    for (std::uint32_t edge = graph_.edge_begin[node + 1]; edge-- > begin;) {
      const NodeIndex target = graph_.edge_target[edge];
      if (!ownership_.owns(edge) || target == previous) continue;
      previous = target;
      const std::uint32_t target_begin = graph_.edge_begin[target];
      if (number_[target] != 0) {
        refer(number, number_[target]);
      } else if (target_begin == graph_.edge_begin[target + 1]) {
        number_[target] = enter(target, number);  // a leaf: visited here and now
      } else {
        __builtin_prefetch(&graph_.edge_target[target_begin]);
        stack_.emplace_back(target, number);
      }
    }
  }

  const HeapGraph& graph_;
  const Ownership& ownership_;
  std::vector<std::uint32_t> number_;  // 0: not visited
  std::vector<std::pair<NodeIndex, std::uint32_t>> stack_;
};

// The forest of the numbers above a limit: path compression keeps the lowest semidominator on the way up.
class Forest {
 public:
  explicit Forest(std::size_t count) : links_(count) {}

  void link(std::uint32_t v, std::uint32_t parent, std::uint32_t semi) { links_[v] = {parent, semi}; }

  // Lowest semidominator on the path from `v` up to the forest of numbers above `limit`.
  std::uint32_t lowest(std::uint32_t v, std::uint32_t limit) {
    for (; links_[v].ancestor > limit; v = links_[v].ancestor) path_.push_back(v);
    std::uint32_t low = links_[v].low;
    const std::uint32_t ancestor = links_[v].ancestor;
    for (; !path_.empty(); path_.pop_back()) {
      Link& link = links_[path_.back()];
      low = link.low = std::min(link.low, low);
      link.ancestor = ancestor;
    }
    return low;
  }

 private:
  struct Link {
    std::uint32_t ancestor;
    std::uint32_t low;
  };
  std::vector<Link> links_;
  std::vector<std::uint32_t> path_;
};

void find_semidominators(Search& search) {
  const auto count = static_cast<std::uint32_t>(search.vertex.size());
  Forest forest(count);
  for (std::uint32_t w = count; w-- > 1;) {
    std::uint32_t semi = search.semi[w];
    for (std::uint32_t at = search.cross_of[w]; at != CrossEdges::kEnd && semi != 0;) {
      const auto entry = search.cross[at];
      semi = std::min(semi, forest.lowest(entry.source, w));
      at = entry.next;
    }
    search.semi[w] = semi;
    forest.link(w, search.parent[w], semi);
  }
}

// `idom` comes in as the search tree's parents. The dominator is the nearest dominator-ancestor of the parent that is
// not below the semidominator; every second step up may skip over many (Myers' skip lists).
void find_dominators(std::vector<std::uint32_t>& idom, const std::vector<std::uint32_t>& semi) {
  struct Step {
    std::uint32_t skip;
    std::uint32_t depth;
  };
  std::vector<Step> steps(idom.size());
  for (std::uint32_t w = 1; w < idom.size(); ++w) {
    std::uint32_t above = idom[w];
    while (above > semi[w]) above = steps[above].skip > semi[w] ? steps[above].skip : idom[above];
    idom[w] = above;
    const Step& step = steps[above];
    const Step& skipped = steps[step.skip];
    const bool even = step.depth - skipped.depth == skipped.depth - steps[skipped.skip].depth;
    steps[w] = {.skip = even ? skipped.skip : above, .depth = step.depth + 1};
  }
}

}  // namespace

DominatorTree build_dominators(const HeapGraph& graph, const Ownership& ownership) {
  DominatorTree tree;
  std::vector<std::uint32_t> semi;
  {
    Search search(graph, ownership);
    search.run();
    find_semidominators(search);
    tree.node = std::move(search.vertex);
    tree.idom = std::move(search.parent);
    semi = std::move(search.semi);
  }
  find_dominators(tree.idom, semi);
  return tree;
}

}  // namespace memsnap
