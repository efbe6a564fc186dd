#include "report/group_memory_report.h"

#include <algorithm>
#include <utility>

namespace memsnap {

Report make_group_memory(std::vector<GroupMember> members) {
  std::sort(members.begin(), members.end(),
            [](const GroupMember& a, const GroupMember& b) { return a.pss != b.pss ? a.pss > b.pss : a.pid < b.pid; });
  Report report;
  report.schema = "memsnap.memory_group/1";
  Table table;
  table.key = "processes";
  table.row_kind = "process";
  table.columns = {{"pid", "PID", CellKind::kNumber},      {"parent", "PARENT", CellKind::kNumber},
                   {"rss", "RSS", CellKind::kBytes},       {"pss", "PSS", CellKind::kBytes},
                   {"uss", "USS", CellKind::kBytes},       {"copy_on_write", "COW SHARED", CellKind::kBytes},
                   {"command", "COMMAND", CellKind::kName}};
  table.machine_columns = {0, 1, 2, 3, 4, 5, 6};
  GroupMember sum;
  for (GroupMember& member : members) {
    sum.rss += member.rss;
    sum.pss += member.pss;
    sum.uss += member.uss;
    sum.copy_on_write = std::max(sum.copy_on_write, member.copy_on_write);
    table.rows.push_back({std::int64_t{member.pid}, std::int64_t{member.parent}, member.rss, member.pss, member.uss,
                          member.copy_on_write, std::move(member.command_line)});
  }
  const std::uint64_t shared = sum.pss - std::min(sum.pss, sum.uss);
  report.facts = {{"count", {std::uint64_t{members.size()}}},
                  {"rss", {sum.rss}},
                  {"pss", {sum.pss}},
                  {"uss", {sum.uss}},
                  {"shared", {shared}},
                  {"copy_on_write", {sum.copy_on_write}}};
  report.table = std::move(table);
  Line together, saved;
  together.count(members.size()).text(members.size() == 1 ? " process has " : " processes have together ");
  together.bytes(sum.pss).text(" (PSS): ").bytes(sum.uss).text(" private, ").bytes(shared).text(" shared");
  saved.text("copy-on-write: at most ").bytes(sum.copy_on_write);
  saved.text(" of one process is still as it was before a fork, and shared");
  report.between = {together, saved};
  return report;
}

}  // namespace memsnap
