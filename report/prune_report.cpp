#include "report/prune_report.h"

#include <utility>

#include "report/snapshot_facts.h"

namespace memsnap {

Report make_prune_report(const PruneFindings& findings) {
  Report report;
  report.schema = "memsnap.prune/1";
  Table table;
  table.key = "removed";
  table.row_kind = "removed";
  table.columns = {{"taken_at", "TAKEN", CellKind::kText},
                   {"pid", "PID", CellKind::kNumber},
                   {"name", "NAME", CellKind::kText},
                   {"bytes", "SIZE", CellKind::kBytes},
                   {"file", "FILE", CellKind::kName}};
  table.machine_columns = {4, 3, 0, 1, 2};
  std::uint64_t freed = 0;
  for (const PrunedFile& file : findings.removed) {
    table.rows.push_back({utc_time(file.taken_at_ns), std::int64_t{file.pid}, file.name, file.bytes, file.path});
    freed += file.bytes;
  }
  report.facts = {{"directory", {findings.directory}},
                  {"dry_run", {findings.pretend}},
                  {"freed", {freed}},
                  {"kept", {findings.kept}},
                  {"kept_bytes", {findings.kept_bytes}}};
  Line sum;
  sum.count(findings.removed.size()).text(findings.pretend ? " would be removed, " : " removed, ").bytes(freed);
  sum.text(findings.pretend ? "; would stay: " : "; left: ").count(findings.kept).text(", ").bytes(findings.kept_bytes);
  sum.text(" in ").name(findings.directory);
  report.between = {sum};
  report.table = std::move(table);
  return report;
}

}  // namespace memsnap
