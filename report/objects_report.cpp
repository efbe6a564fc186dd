#include "report/objects_report.h"

#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "report/object_value.h"
#include "report/snapshot_facts.h"

namespace memsnap {
namespace {

Table make_table(bool with_cycles) {
  Table table;
  table.key = "objects";
  table.row_kind = "object";
  table.columns = {{"rank", "@", CellKind::kNumber},
                   {"address", "ADDRESS", CellKind::kText},
                   {"type", "TYPE", CellKind::kTypeName},
                   {"size", "SIZE", CellKind::kBytes},
                   {"retained", "RETAINED", CellKind::kBytes},
                   {"refs", "REFS", CellKind::kCount},
                   {"len", "LEN", CellKind::kCount}};
  if (with_cycles) {
    table.columns.push_back({"cycle", "CYCLE", CellKind::kNumber});
    table.columns.push_back({"cycle_objects", "OF", CellKind::kCount});
  }
  table.columns.push_back({"value", "VALUE", CellKind::kName});
  table.machine_columns.resize(table.columns.size());
  std::iota(table.machine_columns.begin(), table.machine_columns.end(), 0);
  return table;
}

std::vector<Cell> row_of(const HeapGraph& graph, const NodeNames& names, const ListedObject& object,
                         const Cycles* cycles) {
  const NodeIndex node = object.node;
  std::vector<Cell> row;
  row.emplace_back(object.rank);
  row.emplace_back(hexadecimal(graph.address[node]));
  row.emplace_back(std::string(graph.type_name(node)));
  row.emplace_back(graph.size[node]);
  row.emplace_back(graph.retained[node]);
  row.emplace_back(std::uint64_t{object.referrers});
  row.emplace_back();
  if (object.length) row.back() = *object.length;
  if (cycles != nullptr) {
    const std::uint32_t number = cycles->number[node];
    row.emplace_back(std::uint64_t{number});
    row.emplace_back(number == 0 ? std::uint64_t{0} : std::uint64_t{cycles->objects[number - 1]});
  }
  row.emplace_back();
  std::string value = shortened(value_of(graph, names, node), kValueShown);
  if (!value.empty()) row.back() = std::move(value);
  return row;
}

}  // namespace

Report make_objects(const Snapshot& snapshot, const ObjectList& list, const Cycles* cycles) {
  const NodeNames names(snapshot.graph);
  Report report;
  report.schema = "memsnap.objects/1";
  report.facts = {{"target", {target_facts(snapshot.header.target)}},
                  {"count", {list.count}},
                  {"bytes", {list.bytes}},
                  {"objects_hidden", {list.count - list.shown.size()}}};
  report.headline = headline(snapshot.header);
  Line found;
  found.count(list.count).text(list.count == 1 ? " object, " : " objects, ").bytes(list.bytes);
  if (cycles != nullptr) {
    const std::uint64_t in_all = std::accumulate(cycles->objects.begin(), cycles->objects.end(), std::uint64_t{0});
    report.facts.push_back({"cycles", {std::uint64_t{cycles->objects.size()}}});
    report.facts.push_back({"objects_in_cycles", {in_all}});
    found.text("      cycles: ").count(cycles->objects.size()).text(", with ").count(in_all).text(" objects");
  }
  report.headline.push_back(std::move(found));
  Table table = make_table(cycles != nullptr);
  for (const ListedObject& object : list.shown) table.rows.push_back(row_of(snapshot.graph, names, object, cycles));
  report.table = std::move(table);
  if (list.count > list.shown.size()) {
    report.between.push_back(
        Line().text(" + ").count(list.count - list.shown.size()).text(" more      -n 0 shows all"));
  }
  return report;
}

}  // namespace memsnap
