#include "snapshot/analysis/containment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "snapshot/analysis/retained.h"
#include "tests/unit/analysis/fake_graph.h"

namespace memsnap {
namespace {

constexpr TreeLimits kAll{.depth = 0, .min_percent = 0, .max_children = 0};

const TreeNode& child(const TreeNode& node, std::string_view label) {
  for (const TreeNode& c : node.children) {
    if (c.label == label) return c;
  }
  std::string have;
  for (const TreeNode& c : node.children) have += " \"" + c.label + "\"";
  throw std::runtime_error("no " + std::string(label) + " but" + have);
}

// Module shop.cart with CACHE, a dict of `entries` instances, each with a session; as 3.13 lays it out.
struct Shop {
  explicit Shop(int entries) {
    module = graph.node("builtins.module", 72);
    dict = graph.node("builtins.dict", 232);
    cache = graph.node("builtins.dict", 1000);
    graph.field(module, dict, "__dict__");
    graph.entry(dict, graph.text("CACHE"), cache);
    const NodeIndex session_name = graph.text("session");
    graph.edge(dict, session_name);
    for (int i = 0; i < entries; ++i) {
      const NodeIndex entry = graph.node("shop.cart.Entry", 48);
      const NodeIndex session = graph.node("shop.cart.Session", 100);
      graph.entry(cache, graph.text("user " + std::to_string(i)), entry);
      graph.edge(entry, session, EdgeLabel::named_by(Label::kAttribute, session_name));
    }
    graph.root(module, RootKind::kModule, "shop.cart");
  }
  TreeNode tree(const TreeLimits& limits = kAll) const {
    HeapGraph built = graph.build();
    analyze(built);
    return build_containment(built, limits);
  }
  FakeGraph graph;
  NodeIndex module, dict, cache;
};

TEST(Containment, ShowsAModulesNamespaceAsItsAttributes) {
  const TreeNode tree = Shop(1).tree();

  const TreeNode& module = child(tree, "module shop.cart");
  const TreeNode& cache = child(module, ".CACHE");

  EXPECT_EQ(cache.type, "builtins.dict");
  EXPECT_EQ(cache.size, 1000u);
  EXPECT_EQ(cache.retained, 1000u + 50 + 48 + 100);
  EXPECT_EQ(child(cache, "['user 0']").type, "shop.cart.Entry");
  EXPECT_EQ(child(child(cache, "['user 0']"), ".session").type, "shop.cart.Session");
}

TEST(Containment, FoldsEqualSiblingsAndWhatIsBelowThem) {
  const TreeNode tree = Shop(1000).tree();

  const TreeNode& entries = child(child(child(tree, "module shop.cart"), ".CACHE"), "[*]");

  EXPECT_TRUE(entries.folded);
  EXPECT_EQ(entries.count, 1000u);
  EXPECT_EQ(entries.type, "shop.cart.Entry");
  EXPECT_EQ(entries.size, 48'000u);
  EXPECT_EQ(entries.retained, 148'000u);
  const TreeNode& sessions = child(entries, ".session");
  EXPECT_EQ(sessions.count, 1000u);
  EXPECT_TRUE(sessions.folded);
  EXPECT_EQ(sessions.retained, 100'000u);
}

TEST(Containment, LeavesOutWhatIsSmallAndSaysHowMuch) {
  const TreeNode tree = Shop(1000).tree({.depth = 2, .min_percent = 30, .max_children = 1});

  const TreeNode& module = child(tree, "module shop.cart");
  const TreeNode& cache = child(module, ".CACHE");

  EXPECT_EQ(module.children.size(), 1u);
  EXPECT_GT(module.hidden_count, 0u);
  EXPECT_GT(module.hidden_retained, 0u);
  ASSERT_EQ(cache.children.size(), 1u);
  EXPECT_TRUE(cache.children[0].children.empty());  // deeper than two levels below the top
}

TEST(Containment, KeepsTheNameOfWhatIsBigAmongMany) {
  Shop shop(0);
  const NodeIndex list = shop.graph.node("builtins.list", 56);
  shop.graph.field(shop.cache, list, "rows");
  for (int i = 0; i < 100; ++i) {
    shop.graph.edge(list, shop.graph.node("builtins.bytes", i == 7 ? 1'000'000 : 40));
  }
  const TreeNode tree = shop.tree({.depth = 0, .min_percent = 1, .max_children = 0});

  const TreeNode& rows = child(child(child(tree, "module shop.cart"), ".CACHE"), ".rows");

  EXPECT_EQ(child(rows, "[7]").retained, 1'000'000u);
  EXPECT_EQ(rows.hidden_count, 99u);
}

TEST(Containment, ShowsAThreadsFramesSideBySideWithTheirLocals) {
  FakeGraph graph;
  const NodeIndex thread = graph.node("thread state", 0, kNodeSynthetic);
  const NodeIndex inner = graph.node("interpreter frame", 0, kNodeSynthetic);
  const NodeIndex outer = graph.node("interpreter frame", 0, kNodeSynthetic);
  const NodeIndex code = graph.node("builtins.code", 300);
  const NodeIndex rows = graph.node("builtins.list", 5000);
  graph.field(thread, inner, "frame");
  graph.field(inner, outer, "f_back");
  graph.field(inner, code, "f_code");
  graph.field(code, graph.text("parse"), "co_name");
  graph.field(code, graph.text("shop/parse.py"), "co_filename");
  graph.named(outer, rows, Label::kLocal, "rows");
  graph.root(thread, RootKind::kThread, "worker-3");
  HeapGraph built = graph.build();
  analyze(built);

  const TreeNode tree = build_containment(built, kAll);

  const TreeNode& worker = child(tree, "thread worker-3");
  EXPECT_EQ(worker.retained, 5400u);
  ASSERT_EQ(worker.children.size(), 2u);
  EXPECT_EQ(worker.children[0].label, "frame");
  EXPECT_EQ(worker.children[0].retained, 5000u);
  EXPECT_EQ(child(worker.children[0], "local rows").type, "builtins.list");
  EXPECT_EQ(child(worker, "frame parse() shop/parse.py").retained, 400u);
}

TEST(Containment, GroupsOtherRootsAndWhatIsShared) {
  FakeGraph graph;
  const NodeIndex type = graph.node("builtins.type", 400);
  const NodeIndex a = graph.node("builtins.module", 10);
  const NodeIndex b = graph.node("builtins.module", 10);
  const NodeIndex shared = graph.node("builtins.str", 70);
  const NodeIndex lost = graph.node("builtins.bytes", 30);
  graph.edge(a, shared);
  graph.edge(b, shared);
  graph.root(a, RootKind::kModule, "a");
  graph.root(b, RootKind::kModule, "b");
  graph.root(type, RootKind::kType);
  HeapGraph built = graph.build();
  built.types.push_back({.name = built.strings.add("shop.Entry"), .node = type});
  analyze(built);

  const TreeNode tree = build_containment(built, kAll);

  EXPECT_EQ(tree.retained, 520u);
  EXPECT_EQ(tree.count, 5u);
  EXPECT_EQ(child(child(tree, "types"), "shop.Entry").size, 400u);
  EXPECT_EQ(child(tree, "shared: several owners").retained, 70u);
  EXPECT_EQ(child(tree, "unknown: only C refers to it").retained, built.size[lost]);
}

TEST(Containment, NamesWhatIsSharedByAVariableOfAModule) {
  Shop shop(0);
  const NodeIndex other = shop.graph.node("builtins.module", 10);
  const NodeIndex list = shop.graph.node("builtins.list", 90);
  shop.graph.edge(other, list);
  shop.graph.entry(shop.dict, shop.graph.text("ROWS"), list);
  shop.graph.root(other, RootKind::kModule, "other");
  const TreeNode tree = shop.tree();

  EXPECT_EQ(child(child(tree, "shared: several owners"), "shop.cart.ROWS").size, 90u);
}

TEST(Containment, NamesFunctionsByWhatTheyAre) {
  Shop shop(0);
  const NodeIndex function = shop.graph.node("builtins.function", 150);
  shop.graph.entry(shop.dict, shop.graph.text("checkout"), function);
  shop.graph.field(function, shop.graph.text("Cart.checkout"), "__qualname__");
  const TreeNode tree = shop.tree();

  EXPECT_EQ(child(child(tree, "module shop.cart"), ".checkout").note, "Cart.checkout");
}

void expect_sums(const TreeNode& node, std::uint64_t skipped_at_most) {
  if (node.children.empty() && node.hidden_count == 0) return;
  std::uint64_t below = node.hidden_retained;
  for (const TreeNode& c : node.children) below += c.retained;
  EXPECT_LE(below, node.retained) << node.label;
  EXPECT_LE(node.retained - below, node.size + skipped_at_most) << node.label;
  for (const TreeNode& c : node.children) expect_sums(c, skipped_at_most);
}

TEST(Containment, AccountsForEveryByteOnRandomHeaps) {
  std::mt19937 random(5);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  for (int round = 0; round < 300; ++round) {
    FakeGraph graph;
    const std::uint32_t nodes = 1 + below(60);
    for (std::uint32_t i = 0; i < nodes; ++i) graph.node("t" + std::to_string(below(3)), 1 + below(50));
    for (std::uint32_t i = 0; i < 2 * nodes; ++i) {
      graph.edge(below(nodes), below(nodes), EdgeLabel::of(static_cast<Label>(below(11))));
    }
    for (std::uint32_t i = below(3); i > 0; --i) graph.root(below(nodes), static_cast<RootKind>(below(9)));
    HeapGraph built = graph.build();
    analyze(built);

    const TreeNode tree = build_containment(built, kAll);

    std::uint64_t tops = 0;
    for (const TreeNode& top : tree.children) tops += top.retained;
    ASSERT_EQ(tops, tree.size);
    ASSERT_EQ(tree.retained, tree.size);
    for (const TreeNode& top : tree.children) expect_sums(top, 0);
  }
}

TEST(Containment, GoesNoDeeperThanItCanOnADeepChain) {
  FakeGraph graph;
  graph.node("builtins.list", 1);
  for (NodeIndex i = 1; i < 100'000; ++i) graph.edge(i - 1, graph.node("builtins.list", 1));
  graph.root(0);
  HeapGraph built = graph.build();
  analyze(built);

  const TreeNode tree = build_containment(built, kAll);

  EXPECT_EQ(tree.children.at(0).retained, 100'000u);
}

TEST(Containment, RefusesASnapshotWithoutDominators) {
  FakeGraph graph;
  graph.node("t", 1);

  EXPECT_THROW(build_containment(graph.build(), kAll), std::invalid_argument);
}

}  // namespace
}  // namespace memsnap
