// Dominators, retained sizes and snapshot files of synthetic heaps: prints one row for each heap and size.
//   analysis_bench [MILLION_NODES...]        default: 0.1 1 10
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "snapshot/analysis/retained.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {
namespace {

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

// Nodes are made in the order a program would allocate them, then laid out as pymalloc does: one stretch of memory for
// each size class, `disorder` of them in slots freed before.
class HeapMaker {
 public:
  explicit HeapMaker(double disorder) : disorder_(disorder) {
    for (const char* name : {"builtins.module", "builtins.dict", "builtins.list", "builtins.tuple", "builtins.str",
                             "builtins.int", "builtins.float", "shop.cart.Entry", "builtins.type"}) {
      types_.push_back({.name = strings_.add(name), .address = 0x7f0000000000 + 416 * types_.size()});
    }
    module_ = add(0, 72);
    cache_ = add(1, 240);
    class_ = add(8, 1064);
    edge(module_, cache_, EdgeLabel::named(Label::kField, strings_.add("__dict__")));
    for (int i = 0; i < 300; ++i) small_.push_back(add(5, 28));
    for (const char* name : {"session", "user", "rows", "price"}) labels_.push_back(strings_.add(name));
  }

  // An entry of a dict: a key, an instance with four attributes, one of them a list of pairs.
  void record(std::mt19937& random) {
    const NodeIndex key = add(4, 49 + random() % 40);
    const NodeIndex entry = add(7, 64);
    edge(cache_, key, EdgeLabel::of(Label::kKey));
    edge(cache_, entry, EdgeLabel::of(Label::kValue));
    edge(entry, class_, EdgeLabel::of(Label::kClass));
    edge(entry, add(4, 49 + random() % 100), EdgeLabel::named(Label::kAttribute, labels_[0]));
    edge(entry, small_[random() % small_.size()], EdgeLabel::named(Label::kAttribute, labels_[1]));
    const NodeIndex rows = add(2, 88);
    edge(entry, rows, EdgeLabel::named(Label::kAttribute, labels_[2]));
    edge(entry, add(6, 24), EdgeLabel::named(Label::kAttribute, labels_[3]));
    for (std::uint32_t i = random() % 4; i > 0; --i) {
      const NodeIndex pair = add(2 + 1, 72);
      edge(rows, pair, EdgeLabel::of(Label::kItem));
      edge(pair, add(5, 32), EdgeLabel::of(Label::kItem));
      edge(pair, random() % 2 != 0 ? last_ : add(4, 50 + random() % 9), EdgeLabel::of(Label::kItem));
    }
  }

  std::size_t count() const { return size_.size(); }

  // Any object refers to any other: the worst there is for caches and for the file.
  void tangle(std::size_t nodes, std::mt19937& random) {
    const auto first = static_cast<NodeIndex>(count());
    for (std::size_t i = 0; i < nodes; ++i) {
      const NodeIndex node = add(1 + static_cast<TypeId>(random() % 6), 32 + 16 * (random() % 8));
      edge(i == 0 ? module_ : first + static_cast<NodeIndex>(random() % i), node, EdgeLabel::of(Label::kItem));
      edge(first + static_cast<NodeIndex>(random() % nodes), first + static_cast<NodeIndex>(random() % nodes),
           EdgeLabel::of(Label::kItem));
    }
  }

  HeapGraph build(std::mt19937& random) {
    place(random);
    std::vector<NodeIndex> order(count());
    std::iota(order.begin(), order.end(), 0u);
    std::sort(order.begin(), order.end(), [&](NodeIndex a, NodeIndex b) { return address_[a] < address_[b]; });
    std::vector<NodeIndex> place_of(count());
    for (NodeIndex i = 0; i < order.size(); ++i) place_of[order[i]] = i;
    std::vector<std::uint32_t> begin(count() + 1);
    for (const auto& e : edges_) ++begin[place_of[e.from] + 1];
    std::partial_sum(begin.begin(), begin.end(), begin.begin());
    HeapGraph graph;
    graph.edge_begin = begin;
    graph.edge_target.resize(edges_.size());
    graph.edge_label.resize(edges_.size());
    for (const auto& e : edges_) {
      const std::uint32_t at = begin[place_of[e.from]]++;
      graph.edge_target[at] = place_of[e.to];
      graph.edge_label[at] = e.label;
    }
    for (const NodeIndex node : order) {
      graph.address.push_back(address_[node]);
      graph.type.push_back(type_[node]);
      graph.size.push_back(size_[node]);
      graph.flags.push_back(type_[node] < 4 ? kNodeTracked : 0);
    }
    graph.types = types_;
    graph.strings = strings_;
    graph.roots = {{.kind = RootKind::kModule, .node = place_of[module_], .name = graph.strings.add("shop.cart")},
                   {.kind = RootKind::kType, .node = place_of[class_], .name = 0}};
    return graph;
  }

 private:
  struct Edge {
    NodeIndex from;
    NodeIndex to;
    EdgeLabel label;
  };

  NodeIndex add(TypeId type, std::uint64_t size) {
    type_.push_back(type);
    size_.push_back(size);
    return last_ = static_cast<NodeIndex>(size_.size() - 1);
  }
  void edge(NodeIndex from, NodeIndex to, EdgeLabel label) { edges_.push_back({from, to, label}); }

  void place(std::mt19937& random) {
    std::vector<std::uint64_t> next(80);
    std::uint64_t arena = 0x7f1000000000;
    address_.resize(count());
    for (NodeIndex node = 0; node < count(); ++node) {
      auto& at = next[std::min<std::uint64_t>((size_[node] + 15) / 16, 79)];
      if (at % (1 << 14) == 0) at = arena, arena += 1 << 14;
      address_[node] = at;
      at += (size_[node] + 15) & ~15ull;
      if (at % (1 << 14) > (1 << 14) - size_[node]) at = 0;
    }
    std::vector<std::vector<NodeIndex>> freed(80);
    for (NodeIndex node = 0; node < count(); ++node) {
      if (std::generate_canonical<double, 32>(random) >= disorder_) continue;
      auto& slots = freed[std::min<std::uint64_t>((size_[node] + 15) / 16, 79)];
      if (!slots.empty()) std::swap(address_[node], address_[slots[random() % slots.size()]]);
      slots.push_back(node);
    }
  }

  double disorder_;
  StringTable strings_;
  std::vector<TypeEntry> types_;
  std::vector<TypeId> type_;
  std::vector<std::uint64_t> size_, address_;
  std::vector<Edge> edges_;
  NodeIndex module_, cache_, class_, last_ = 0;
  std::vector<NodeIndex> small_;
  std::vector<StringId> labels_;
};

HeapGraph make_heap(std::string_view kind, std::size_t nodes) {
  std::mt19937 random(42);
  HeapMaker maker(kind == "records" ? 0.0 : kind == "aged" ? 0.3 : 1.0);
  if (kind == "tangle") {
    maker.tangle(nodes, random);
  } else {
    while (maker.count() < nodes) maker.record(random);
  }
  return maker.build(random);
}

void measure(std::string_view kind, std::size_t nodes) {
  Snapshot snapshot;
  snapshot.graph = make_heap(kind, nodes);
  const double count = static_cast<double>(snapshot.graph.node_count());
  double start = cpu_seconds();
  analyze(snapshot.graph);
  const double analysis = cpu_seconds() - start;
  const auto file = std::filesystem::temp_directory_path() / fmt::format("analysis_bench.{}.msnap", getpid());
  start = cpu_seconds();
  save_snapshot(snapshot, file, {.force = true});
  const double save = cpu_seconds() - start;
  start = cpu_seconds();
  load_snapshot(file, kPartTypes);
  const double summary = cpu_seconds() - start;
  start = cpu_seconds();
  load_snapshot(file, kPartsTree);
  const double tree = cpu_seconds() - start;
  fmt::print("| {} | {:.1f} | {:.2f} | {:.2f} | {:.2f} | {:.2f} | {:.4f} | {:.2f} |\n", kind, count / 1e6,
             static_cast<double>(snapshot.graph.edge_count()) / count, count / analysis / 1e6,
             static_cast<double>(std::filesystem::file_size(file)) / count, save / count * 1e6, summary, tree);
  if (getenv("ANALYSIS_BENCH_PARTS") != nullptr) {
    for (const PartInfo& part : inspect_snapshot(file).parts) {
      fmt::print("    {:<12} {:>6.2f} B/object {:>6.2f} before zstd\n", part.name,
                 static_cast<double>(part.stored) / count, static_cast<double>(part.raw) / count);
    }
  }
  std::filesystem::remove(file);
}

}  // namespace
}  // namespace memsnap

int main(int argc, char** argv) {
  std::vector<double> millions;
  for (int i = 1; i < argc; ++i) millions.push_back(std::atof(argv[i]));
  if (millions.empty()) millions = {0.1, 1, 10};
  fmt::print(
      "| heap | M nodes | references a node | analysed, M nodes/s | file, B/node | save, µs/node | load for `summary`, "
      "s | load "
      "for `tree`, s |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n");
  for (const char* kind : {"records", "aged", "tangle"}) {
    for (const double million : millions) memsnap::measure(kind, static_cast<std::size_t>(million * 1e6));
  }
  fmt::print("\nPeak memory, with the generator's own data: {:.0f} MiB.\n", memsnap::peak_bytes() / 1048576);
}
