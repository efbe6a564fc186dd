#include "report/process_report.h"

#include <fmt/format.h>

#include <string_view>
#include <utility>

#include "report/text_layout.h"

namespace memsnap {
namespace {

constexpr std::size_t kContainerShown = 12;  // as docker ps shortens an id

std::string_view verdict_word(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return "ok";
    case Verdict::kNote:
      return "note";
    case Verdict::kWarning:
      return "warn";
    case Verdict::kBad:
      return "bad";
  }
  return "bad";
}

Emphasis verdict_emphasis(Verdict verdict) {
  switch (verdict) {
    case Verdict::kOk:
      return Emphasis::kGood;
    case Verdict::kNote:
      return Emphasis::kFaint;
    case Verdict::kWarning:
      return Emphasis::kWarning;
    case Verdict::kBad:
      return Emphasis::kBad;
  }
  return Emphasis::kNone;
}

}  // namespace

Report make_process_list(const std::vector<ProcessRow>& rows) {
  Report report;
  report.schema = "memsnap.ps/1";
  report.facts = {{"count", {std::uint64_t{rows.size()}}}};
  Table table;
  table.key = "processes";
  table.row_kind = "process";
  table.columns = {{"pid", "PID", CellKind::kNumber},        {"user", "USER", CellKind::kText},
                   {"python", "PYTHON", CellKind::kText},    {"rss", "RSS", CellKind::kBytes},
                   {"age", "AGE", CellKind::kText},          {"threads", "THR", CellKind::kCount},
                   {"attach", "ATTACH", CellKind::kText},    {"container_short", "CONTAINER", CellKind::kText},
                   {"command", "COMMAND", CellKind::kName},  {"age_seconds", "", CellKind::kText, true},
                   {"container", "", CellKind::kText, true}, {"name", "", CellKind::kText, true},
                   {"reason", "", CellKind::kText, true}};
  table.machine_columns = {0, 1, 2, 3, 9, 5, 6, 12, 10, 11, 8};
  for (const ProcessRow& row : rows) {
    const std::string container = row.container.substr(0, kContainerShown);
    table.rows.push_back({static_cast<std::uint64_t>(row.pid), row.user, row.python.empty() ? "?" : row.python, row.rss,
                          duration_text(row.age_seconds), row.threads, row.attach, container.empty() ? "-" : container,
                          row.command_line, row.age_seconds, row.container, row.name, row.reason});
    table.emphasis.push_back(row.attach == "ok" ? Emphasis::kNone : Emphasis::kFaint);
  }
  report.table = std::move(table);
  Line count;
  report.between = {count.count(rows.size()).text(rows.size() == 1 ? " process" : " processes")};
  return report;
}

Report make_diagnosis(const Diagnosis& diagnosis, bool with_hints) {
  Report report;
  report.schema = diagnosis.schema;
  FactArray checks;
  for (const Check& check : diagnosis.checks) {
    checks.push_back({FactObject{{"verdict", {std::string(verdict_word(check.verdict))}},
                                 {"check", {check.id}},
                                 {"text", {check.text}},
                                 {"hint", {check.hint}}}});
    Line line;
    line.text(fmt::format(" {:<5} ", verdict_word(check.verdict)), verdict_emphasis(check.verdict)).name(check.text);
    report.headline.push_back(line);
    const bool shown = with_hints || check.verdict == Verdict::kBad || check.verdict == Verdict::kWarning;
    if (shown && !check.hint.empty()) report.headline.push_back(Line().text("         ").text(check.hint));
  }
  report.facts = {{"works", {diagnosis.works}}};
  if (diagnosis.pid != 0) report.facts.push_back({"pid", {diagnosis.pid}});
  if (!diagnosis.file.empty()) report.facts.push_back({"file", {diagnosis.file}});
  report.facts.push_back({"checks", {std::move(checks)}});
  report.facts.push_back({"conclusion", {diagnosis.conclusion}});
  report.headline.push_back(Line().text(diagnosis.conclusion, Emphasis::kStrong));
  return report;
}

}  // namespace memsnap
