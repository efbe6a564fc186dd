#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

#include "snapshot/model/heap_graph.h"
#include "snapshot/store/value_stream.h"

// What the next entry of a column will probably be, told from those before it: the file holds the difference. Writer
// and reader run the same predictor, so any change here is a new format version. docs/file_format.md says it in words.
namespace memsnap {

constexpr std::uint32_t mix(std::uint64_t a, std::uint64_t b, unsigned bits) {
  return static_cast<std::uint32_t>((a * 0x9e3779b97f4a7c15ull + b) * 0xd6e8feb86659fd93ull >> (64 - bits));
}

// The type that followed the last two types before.
class TypePredictor {
 public:
  TypeId predict() const { return table_[slot_]; }
  void learn(TypeId type) {
    table_[slot_] = type;
    slot_ = mix(last_, type, kBits);
    last_ = type;
  }

 private:
  static constexpr unsigned kBits = 14;
  std::vector<TypeId> table_ = std::vector<TypeId>(1u << kBits);
  std::uint32_t slot_ = 0;
  TypeId last_ = 0;
};

// The last value for the same type (sizes, numbers of references).
class LastOfType {
 public:
  explicit LastOfType(std::size_t types) : last_(types) {}
  std::uint64_t predict(TypeId type) const { return last_[type]; }
  void learn(TypeId type, std::uint64_t value) { last_[type] = value; }

 private:
  std::vector<std::uint64_t> last_;
};

// The step to the next address that followed an object of this type and size last time.
class StepPredictor {
 public:
  std::uint64_t& last_step(TypeId type, std::uint64_t size) { return table_[mix(type, size, kBits)]; }

 private:
  static constexpr unsigned kBits = 12;
  std::vector<std::uint64_t> table_ = std::vector<std::uint64_t>(1u << kBits);
};

// The label that followed the previous label of the same object, last time in an object of this type.
class LabelPredictor {
 public:
  std::uint32_t& next(TypeId type, std::uint32_t previous) { return table_[mix(type, previous, kBits)]; }

 private:
  static constexpr unsigned kBits = 15;
  std::vector<std::uint32_t> table_ = std::vector<std::uint32_t>(1u << kBits);
};

// Where references of the same kind (type, label, place among the object's references) led before: to one of three
// recent targets, or on in step with the objects that refer, or on by the same stride.
class TargetPredictor {
 public:
  struct Context {
    std::array<NodeIndex, 3> recent{};
    NodeIndex target = 0;
    NodeIndex source = 0;
    std::uint32_t stride = 0;
    std::uint16_t step_cost = 0;
    std::uint16_t stride_cost = 0;
  };
  static constexpr std::uint64_t kRecent = 3;

  Context& at(TypeId type, EdgeLabel label, std::uint32_t place) {
    return table_[mix(type * 9ull + std::min(place, 8u), label.bits, kBits)];
  }
  static std::uint64_t encode(Context& c, NodeIndex source, NodeIndex target) {
    for (std::uint32_t i = 0; i < kRecent; ++i) {
      if (c.recent[i] == target) return use(c, i), i;
    }
    const std::uint64_t value = kRecent + zigzag(std::int64_t{target} - predict(c, source));
    learn(c, source, target);
    return value;
  }
  // May give a number that is no node: the caller checks.
  static std::int64_t decode(Context& c, NodeIndex source, std::uint64_t value) {
    if (value < kRecent) {
      use(c, static_cast<std::uint32_t>(value));
      return c.recent[0];
    }
    const std::int64_t target = predict(c, source) + unzigzag(value - kRecent);
    learn(c, source, static_cast<NodeIndex>(target));
    return target;
  }

 private:
  static constexpr unsigned kBits = 14;

  static void use(Context& c, std::uint32_t i) {
    std::rotate(c.recent.begin(), c.recent.begin() + i, c.recent.begin() + i + 1);
  }
  static std::int64_t by_step(const Context& c, NodeIndex source) {
    return std::int64_t{c.target} + std::int64_t{source} - c.source;
  }
  static std::int64_t by_stride(const Context& c) { return static_cast<NodeIndex>(c.target + c.stride); }
  static std::int64_t predict(const Context& c, NodeIndex source) {
    return c.stride_cost <= c.step_cost ? by_stride(c) : by_step(c, source);
  }
  static void learn(Context& c, NodeIndex source, NodeIndex target) {
    charge(c.step_cost, by_step(c, source) - target);
    charge(c.stride_cost, by_stride(c) - target);
    c.stride = target - c.target;
    c.target = target;
    c.source = source;
    c.recent = {target, c.recent[0], c.recent[1]};
  }
  static void charge(std::uint16_t& cost, std::int64_t miss) {
    cost = static_cast<std::uint16_t>(cost - cost / 8 + 16 * std::bit_width(zigzag(miss)));
  }

  std::vector<Context> table_ = std::vector<Context>(1u << kBits);
};

// The first object that refers to a node is most often its dominator.
class DominatorPredictor {
 public:
  explicit DominatorPredictor(const HeapGraph& graph) : first_(graph.node_count(), kNoNode) {
    for (NodeIndex node = 0; node < graph.node_count(); ++node) {
      for (std::uint32_t edge = graph.edge_begin[node]; edge < graph.edge_begin[node + 1]; ++edge) {
        const Label kind = graph.edge_label[edge].kind();
        NodeIndex& first = first_[graph.edge_target[edge]];
        if (first == kNoNode && kind != Label::kWeak && kind != Label::kClass && graph.edge_target[edge] != node)
          first = node;
      }
    }
  }
  // 0: none, 1: the first referrer, 2: the dominator of that, else 3 + the distance.
  std::uint64_t encode(const std::vector<NodeIndex>& dominator, NodeIndex node) const {
    const NodeIndex above = dominator[node];
    if (above == kNoNode) return 0;
    if (above == first_[node]) return 1;
    if (above == second(dominator, node)) return 2;
    return 3 + zigzag(std::int64_t{above} - node);
  }
  std::int64_t decode(const std::vector<NodeIndex>& dominator, NodeIndex node, std::uint64_t value) const {
    if (value == 0) return kNoNode;
    if (value == 1) return first_[node];
    if (value == 2) return second(dominator, node);
    return std::int64_t{node} + unzigzag(value - 3);
  }

 private:
  NodeIndex second(const std::vector<NodeIndex>& dominator, NodeIndex node) const {
    return first_[node] < node ? dominator[first_[node]] : kNoNode;
  }
  std::vector<NodeIndex> first_;
};

}  // namespace memsnap
