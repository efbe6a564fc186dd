#include "snapshot/analysis/suspects.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <string_view>
#include <tuple>
#include <utility>

#include "snapshot/analysis/ownership.h"
#include "snapshot/analysis/path_names.h"
#include "snapshot/analysis/paths.h"

namespace memsnap {
namespace {

constexpr int kLinks = 8;  // a dict in a dict is no chain yet
constexpr int kClimb = 3;  // an object, its __dict__, the next object: one link of a chain

struct Crowd {
  std::uint64_t count = 0;
  std::uint64_t retained = 0;
};
using Crowds = std::map<TypeId, Crowd>;
using Fans = std::map<NodeIndex, Crowds>;

// A module, a class: they hold the program, whose size is what it is.
bool is_structure(std::string_view type) {
  return type == "builtins.module" || type == "builtins.type" || type == "abc.ABCMeta";
}

// Large nodes retain the limit or more; the small ones right below a large one are its fan.
class SuspectSearch {
 public:
  SuspectSearch(const HeapGraph& graph, double percent)
      : graph_(graph), names_(graph), is_structure_(graph.node_count()) {
    for (const Root& root : graph.roots) {
      if (root.kind != RootKind::kUnknown) is_structure_.set(root.node);
    }
    const EdgeLabel space = EdgeLabel::named(Label::kField, graph.strings.find("__dict__").value_or(0));
    for (std::size_t edge = 0; edge < graph.edge_count(); ++edge) {
      if (graph.edge_label[edge].bits == space.bits) is_structure_.set(graph.edge_target[edge]);
    }
    std::uint64_t total = 0;
    for (NodeIndex node = 0; node < graph.node_count(); ++node) {
      if (graph.dominator[node] == kNoNode) total += graph.retained[node];
    }
    limit_ = std::max<std::uint64_t>(1, static_cast<std::uint64_t>(static_cast<double>(total) * percent / 100));
  }

  std::vector<Suspect> run() {
    measure();
    std::vector<Suspect> found;
    std::set<NodeIndex> heads;
    for (const auto& [node, crowds] : fans_) {
      const NodeIndex head = head_of_chain(node);
      if (heads.insert(head).second) found.push_back(one_object(node, head, crowds));
    }
    for (const auto& [type, crowd] : loose_) {
      if (crowd.retained < limit_ || is_structure(type_name(type))) continue;
      Suspect suspect;
      suspect.type = suspect.crowd_type = type_name(type);
      suspect.retained = suspect.crowd_retained = crowd.retained;
      suspect.crowd_count = crowd.count;
      found.push_back(std::move(suspect));
    }
    std::sort(found.begin(), found.end(), [](const Suspect& a, const Suspect& b) {
      return std::tie(b.retained, a.path, a.type) < std::tie(a.retained, b.path, b.type);
    });
    return found;
  }

 private:
  bool is_large(NodeIndex node) const { return graph_.retained[node] >= limit_; }
  std::string type_name(TypeId type) const { return std::string(graph_.strings.text(graph_.types[type].name)); }

  void measure() {
    std::vector<std::uint64_t> rest = graph_.retained;  // beside the large nodes right below
    for (NodeIndex node = 0; node < graph_.node_count(); ++node) {
      if (is_large(node) && graph_.dominator[node] != kNoNode) rest[graph_.dominator[node]] -= graph_.retained[node];
    }
    for (NodeIndex node = 0; node < graph_.node_count(); ++node) {
      const NodeIndex above = graph_.dominator[node];
      if (is_large(node)) {
        if (rest[node] >= limit_) fans_[node];
        continue;
      }
      if (above != kNoNode && !is_large(above)) continue;
      if (above == kNoNode && is_structure_.test(node)) continue;  // a module, a class, a namespace: no crowd
      Crowds& crowds = above != kNoNode && rest[above] >= limit_ ? fans_[above] : loose_;
      Crowd& crowd = crowds[graph_.type[node]];
      ++crowd.count;
      crowd.retained += graph_.retained[node];
    }
    for (auto fan = fans_.begin(); fan != fans_.end();) fan = is_just_a_program(*fan) ? loosen(fan) : std::next(fan);
  }

  // A namespace with many variables of many types.
  bool is_just_a_program(const Fans::value_type& fan) const {
    return is_structure_.test(fan.first) && std::none_of(fan.second.begin(), fan.second.end(), [&](const auto& crowd) {
             return crowd.second.retained >= limit_;
           });
  }

  Fans::iterator loosen(Fans::iterator fan) {
    for (const auto& [type, crowd] : fan->second) {
      loose_[type].count += crowd.count;
      loose_[type].retained += crowd.retained;
    }
    return fans_.erase(fan);
  }

  // In a linked list or a deep tree every node down to some depth is large: the first one is meant.
  NodeIndex head_of_chain(NodeIndex node) const {
    while ((graph_.flags[node] & kNodeNative) != 0 && graph_.dominator[node] != kNoNode) node = graph_.dominator[node];
    NodeIndex head = node;
    for (int links = 0;; ++links) {
      NodeIndex above = head;
      for (int i = 0; i < kClimb; ++i) {
        above = graph_.dominator[above];
        if (above == kNoNode || graph_.type[above] == graph_.type[node]) break;
      }
      if (above == kNoNode || graph_.type[above] != graph_.type[node]) return links < kLinks ? node : head;
      head = above;
    }
  }

  Suspect one_object(NodeIndex node, NodeIndex head, const Crowds& crowds) const {
    Suspect suspect;
    suspect.type = graph_.type_name(head);
    suspect.address = graph_.address[head];
    suspect.retained = graph_.retained[head];
    const auto paths = find_paths(graph_, head, {});
    if (!paths.empty()) suspect.path = path_text(graph_, names_, paths.front());
    if (head != node) {
      suspect.crowd_type = suspect.type;
      return suspect;
    }
    const auto most = std::max_element(crowds.begin(), crowds.end(), [](const auto& a, const auto& b) {
      return a.second.retained < b.second.retained;
    });
    if (most == crowds.end() || most->second.retained * 2 < graph_.retained[node]) return suspect;
    suspect.crowd_type = type_name(most->first);
    suspect.crowd_count = most->second.count;
    suspect.crowd_retained = most->second.retained;
    return suspect;
  }

  const HeapGraph& graph_;
  NodeNames names_;
  BitSet is_structure_;  // roots of a named kind, and namespaces
  std::uint64_t limit_ = 1;
  Fans fans_;     // the suspects, and what is right below each
  Crowds loose_;  // below the roots, and below large nodes whose rest is small
};

}  // namespace

std::vector<Suspect> find_suspects(const HeapGraph& graph, double percent) {
  if (graph.dominator.size() != graph.node_count() || graph.retained.size() != graph.node_count() ||
      graph.address.size() != graph.node_count())
    return {};
  return SuspectSearch(graph, percent).run();
}

}  // namespace memsnap
