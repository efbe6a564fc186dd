#include "snapshot/walk/graph_builder.h"

#include <algorithm>
#include <utility>

namespace memsnap {
namespace {

constexpr std::uint64_t kMaxNodes = 0xfffffff0;
constexpr std::uint64_t kResolved = 1ull << 62;  // an edge word whose address was replaced by a node index
constexpr std::size_t kLinearLimit = 32;

std::uint64_t target_of(std::uint64_t word) { return word & kEdgeAddressMask; }
std::uint8_t kind_of(std::uint64_t word) { return static_cast<std::uint8_t>(word >> kEdgeKindShift); }
bool is_named(std::uint64_t word) { return (word & kEdgeNamed) != 0; }

// A static program has objects at low addresses: a name's own value does not tell an id from an address.
bool named_by_object(std::uint8_t kind) {
  const auto edge = static_cast<EdgeKind>(kind);
  return edge == EdgeKind::kAttribute || edge == EdgeKind::kLocal || edge == EdgeKind::kCell;
}

std::size_t words_of(std::uint64_t word) { return is_named(word) ? 2u : 1u; }

std::uint8_t node_flags(std::uint64_t object_flags) {
  std::uint8_t flags = 0;
  if ((object_flags & kObjectTracked) != 0) flags |= kNodeTracked;
  if ((object_flags & kObjectSynthetic) != 0) flags |= kNodeSynthetic;
  if ((object_flags & kObjectStructural) != 0) flags |= kNodeStructural;
  if ((object_flags & kObjectPermanent) != 0) flags |= kNodePermanent;
  return flags;
}

}  // namespace

void GraphBuilder::words(std::span<const std::uint64_t> stream) {
  for (const std::uint64_t word : stream) {
    switch (expect_) {
      case Expect::kAddress:
        begin_record(word);
        break;
      case Expect::kSize:
        current_size_ = word;
        expect_ = Expect::kType;
        break;
      case Expect::kType:
        current_type_ = word;
        expect_ = Expect::kEdge;
        break;
      case Expect::kEdge:
        edge_word(word);
        break;
      case Expect::kName:
        edges_.push_back(word);
        expect_ = Expect::kEdge;
        break;
    }
  }
}

void GraphBuilder::begin_record(std::uint64_t word) {
  switch (static_cast<WordKind>(kind_of(word))) {
    case WordKind::kDeferred:
      deferred_.push_back(target_of(word));
      return;
    case WordKind::kOrphan:
      orphans_.push_back(target_of(word));
      return;
    case WordKind::kAbandoned:
      return;
    default:
      break;
  }
  current_ = word;
  record_begin_ = edges_.size();
  traversed_begin_ = 0;
  expect_ = Expect::kSize;
}

void GraphBuilder::edge_word(std::uint64_t word) {
  if (word == 0) return end_record();
  switch (static_cast<WordKind>(kind_of(word))) {
    case WordKind::kTraversed:
      traversed_begin_ = edges_.size();
      return;
    case WordKind::kDeferred:
      deferred_.push_back(target_of(word));
      return;
    case WordKind::kAbandoned:
      return forget_record();
    default:
      break;
  }
  if (is_named(word)) expect_ = Expect::kName;
  edges_.push_back(word);
}

void GraphBuilder::forget_record() {
  edges_.resize(record_begin_);
  expect_ = Expect::kAddress;
}

void GraphBuilder::end_record() {
  expect_ = Expect::kAddress;
  if (address_.size() >= kMaxNodes || !index_.insert(current_)) {
    ++rejected_;
    return forget_record();
  }
  if (!keep_edges_) {
    edges_.resize(record_begin_);
  } else if (traversed_begin_ > record_begin_) {
    drop_repeated();
  }
  address_.push_back(current_);
  size_.push_back(current_size_);
  type_.push_back(static_cast<std::uint32_t>(current_type_ >> 32));
  flags_.push_back(node_flags(current_type_ & 0xffffffff));
  edges_begin_.push_back(record_begin_);
}

// tp_traverse repeats what structural knowledge named already, mostly in the same order.
void GraphBuilder::drop_repeated() {
  std::vector<std::uint64_t> known;
  for (std::size_t i = record_begin_; i < traversed_begin_; i += words_of(edges_[i])) {
    known.push_back(target_of(edges_[i]));
  }
  std::vector<std::uint64_t> sorted;
  std::size_t cursor = 0;
  std::size_t out = traversed_begin_;
  std::size_t words = 0;
  for (std::size_t i = traversed_begin_; i < edges_.size(); i += words) {
    const std::uint64_t target = target_of(edges_[i]);
    words = words_of(edges_[i]);
    if (cursor < known.size() && known[cursor] == target) {
      ++cursor;
      continue;
    }
    bool repeated = false;
    if (known.size() <= kLinearLimit) {
      const auto found = std::find(known.begin(), known.end(), target);
      repeated = found != known.end();
      if (repeated) cursor = static_cast<std::size_t>(found - known.begin()) + 1;
    } else {
      if (sorted.empty()) {
        sorted = known;
        std::sort(sorted.begin(), sorted.end());
      }
      repeated = std::binary_search(sorted.begin(), sorted.end(), target);
    }
    for (std::size_t word = 0; word < words && !repeated; ++word) edges_[out++] = edges_[i + word];
  }
  edges_.resize(out);
}

// Replaces addresses by node indices in place; an edge to what is no node becomes 0.
void GraphBuilder::resolve_edges() {
  for (std::size_t i = 0; i < edges_.size(); ++i) {
    const std::uint64_t word = edges_[i];
    const NodeIndex target = index_.find(target_of(word));
    const std::uint64_t kind = static_cast<std::uint64_t>(kind_of(word)) << kEdgeKindShift;
    edges_[i] = target == kNoNode ? word & kEdgeNamed : kResolved | (word & kEdgeNamed) | kind | target;
    if (!is_named(word)) continue;
    std::uint64_t& name = edges_[++i];
    if (!named_by_object(kind_of(word))) {
      if (name > 0xffffffff) name = 0;  // no id
      continue;
    }
    const NodeIndex text = index_.find(name & kEdgeAddressMask);
    name = text == kNoNode ? 0 : kResolved | text;
  }
}

void GraphBuilder::finish(HeapGraph& graph, const std::function<TypeId(std::uint32_t)>& type_of) {
  index_.finish();
  resolve_edges();
  edges_begin_.push_back(edges_.size());
  place_nodes(graph, type_of);
  place_edges(graph);
}

void GraphBuilder::place_nodes(HeapGraph& graph, const std::function<TypeId(std::uint32_t)>& type_of) {
  const std::size_t count = address_.size();
  graph.address.resize(count);
  graph.type.resize(count);
  graph.size.resize(count);
  graph.flags.resize(count);
  graph.edge_begin.assign(count + 1, 0);
  for (std::size_t i = 0; i < count; ++i) {
    const NodeIndex node = index_.find(address_[i]);
    graph.address[node] = address_[i];
    graph.type[node] = type_of(type_[i]);
    graph.size[node] = size_[i];
    graph.flags[node] = flags_[i];
    std::uint32_t degree = 0;
    for (std::uint64_t at = edges_begin_[i]; at < edges_begin_[i + 1]; at += words_of(edges_[at])) {
      degree += (edges_[at] & kResolved) != 0 ? 1u : 0u;
    }
    graph.edge_begin[node + 1] = degree;
  }
  size_ = {};
  type_ = {};
  flags_ = {};
  std::uint64_t total = 0;
  for (std::size_t i = 1; i <= count; ++i) {
    total = std::min<std::uint64_t>(total + graph.edge_begin[i], 0xffffffff);
    graph.edge_begin[i] = static_cast<std::uint32_t>(total);
  }
}

void GraphBuilder::place_edges(HeapGraph& graph) {
  graph.edge_target.resize(graph.edge_begin.back());
  graph.edge_label.resize(graph.edge_begin.back());
  for (std::size_t i = 0; i < address_.size(); ++i) {
    const NodeIndex node = index_.find(address_[i]);
    std::uint32_t to = graph.edge_begin[node];
    const std::uint32_t end = graph.edge_begin[node + 1];
    for (std::uint64_t at = edges_begin_[i]; at < edges_begin_[i + 1]; at += words_of(edges_[at])) {
      const std::uint64_t word = edges_[at];
      if ((word & kResolved) == 0 || to == end) continue;
      const auto kind = static_cast<Label>(kind_of(word & ~kResolved));
      EdgeLabel label = EdgeLabel::of(kind);
      if (is_named(word)) {
        const std::uint64_t name = edges_[at + 1];
        const auto payload = static_cast<std::uint32_t>(name);
        label = (name & kResolved) != 0 ? EdgeLabel::named_by(kind, payload) : EdgeLabel::named(kind, payload);
      }
      graph.edge_target[to] = static_cast<NodeIndex>(word & 0xffffffff);
      graph.edge_label[to++] = label;
    }
  }
  address_ = {};
  edges_ = {};
  edges_begin_ = {};
}

}  // namespace memsnap
