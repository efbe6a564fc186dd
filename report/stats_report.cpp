#include "report/stats_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "report/snapshot_facts.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

constexpr std::size_t kBuckets = 65;  // bucket i: sizes of i bits

struct Histogram {
  std::array<NamedCount, kBuckets> buckets{};
  std::uint64_t tracked = 0;
};

Histogram histogram_of(const HeapGraph& graph) {
  Histogram histogram;
  for (NodeIndex node = 0; node < graph.node_count(); ++node) {
    if (!graph.is_object(node)) continue;
    NamedCount& bucket = histogram.buckets[static_cast<std::size_t>(std::bit_width(graph.size[node]))];
    ++bucket.count;
    bucket.bytes += graph.size[node];
    histogram.tracked += (graph.flags[node] & kNodeTracked) != 0 ? 1u : 0u;
  }
  return histogram;
}

Table make_table(const Histogram& histogram, std::uint64_t all) {
  Table table;
  table.key = "sizes";
  table.row_kind = "sizes";
  table.columns = {{"from", "FROM", CellKind::kBytes},
                   {"below", "BELOW", CellKind::kBytes},
                   {"count", "COUNT", CellKind::kCount},
                   {"size", "SIZE", CellKind::kBytes},
                   {"percent", "%", CellKind::kPercent}};
  table.machine_columns = {0, 1, 2, 3};
  for (std::size_t bits = 0; bits < kBuckets; ++bits) {
    const NamedCount& bucket = histogram.buckets[bits];
    if (bucket.count == 0) continue;
    const std::uint64_t from = bits == 0 ? 0 : std::uint64_t{1} << (bits - 1);
    const std::uint64_t below = bits == 0 ? 1 : bits == 64 ? ~std::uint64_t{0} : std::uint64_t{1} << bits;
    table.rows.push_back({from, below, bucket.count, bucket.bytes, percent_of(bucket.bytes, all)});
  }
  return table;
}

std::vector<NodeIndex> largest_objects(const HeapGraph& graph, std::size_t count) {
  std::vector<NodeIndex> nodes;  // a heap, the smallest of the largest on top
  const auto larger = [&](NodeIndex a, NodeIndex b) {
    return graph.size[a] != graph.size[b] ? graph.size[a] > graph.size[b] : a < b;
  };
  for (NodeIndex node = 0; node < graph.node_count() && count != 0; ++node) {
    if (!graph.is_object(node)) continue;
    if (nodes.size() == count && !larger(node, nodes.front())) continue;
    if (nodes.size() == count) {
      std::pop_heap(nodes.begin(), nodes.end(), larger);
      nodes.pop_back();
    }
    nodes.push_back(node);
    std::push_heap(nodes.begin(), nodes.end(), larger);
  }
  std::sort(nodes.begin(), nodes.end(), larger);
  return nodes;
}

}  // namespace

Report make_stats(const Snapshot& snapshot, const std::vector<NamedCount>& waste, const StatsOptions& options) {
  const SnapshotHeader& header = snapshot.header;
  const HeapGraph& graph = snapshot.graph;
  Report report;
  report.schema = "memsnap.stats/1";
  report.headline = headline(header);
  const Histogram histogram = histogram_of(graph);
  report.table = make_table(histogram, header.bytes);

  FactArray wasted;
  std::uint64_t in_all = 0;
  for (const NamedCount& one : waste) {
    wasted.push_back({FactObject{{"name", {one.name}}, {"count", {one.count}}, {"bytes", {one.bytes}}}});
    in_all += one.bytes;
    report.between.push_back(Line().text(" " + one.name + ": ").count(one.count).text(", ").bytes(one.bytes));
  }
  report.between.push_back(Line().text(" could be saved in all: ", Emphasis::kStrong).bytes(in_all));

  FactArray largest;
  for (const NodeIndex node : largest_objects(graph, options.largest)) {
    const std::string address = fmt::format("{:#x}", graph.address[node]);
    const std::string type(graph.type_name(node));
    largest.push_back({FactObject{{"address", {address}}, {"type", {type}}, {"size", {graph.size[node]}}}});
    report.between.push_back(
        Line().text(" large: ").bytes(graph.size[node]).text("  ").type(type).text("  " + address));
  }
  report.facts = {{"target", {target_facts(header.target)}},
                  {"totals", {totals_facts(header)}},
                  {"types", {std::uint64_t{graph.types.size()}}},
                  {"tracked", {histogram.tracked}},
                  {"waste", {std::move(wasted)}},
                  {"largest", {std::move(largest)}}};
  return report;
}

}  // namespace memsnap
