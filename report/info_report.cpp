#include "report/info_report.h"

#include <fmt/format.h>

#include <iterator>
#include <string_view>
#include <utility>

#include "report/snapshot_facts.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

constexpr std::size_t kLabelWidth = 16;

Line row(std::string_view label) { return Line().text(" " + padded_right(label, kLabelWidth), Emphasis::kFaint); }

void add_text(std::vector<Line>& lines, std::string_view label, const std::string& value) {
  if (!value.empty()) lines.push_back(row(label).name(value));
}

void add_target(std::vector<Line>& lines, const TargetInfo& target) {
  lines.push_back(row("process").text(fmt::format("{} ", target.pid)).name(target.name));
  add_text(lines, "command line", target.command_line);
  add_text(lines, "executable", target.executable);
  add_text(lines, "host", target.host);
  add_text(lines, "user", target.user);
  add_text(lines, "container", target.container);
  add_text(lines, "python", "CPython " + target.python);
}

void add_objects(std::vector<Line>& lines, const SnapshotHeader& header) {
  Line objects = row("objects");
  objects.count(header.objects).text("  ").bytes(header.bytes).text("  references ").count(header.edges);
  lines.push_back(objects);
}

void add_measures(std::vector<Line>& lines, const SnapshotHeader& header) {
  if (header.kind == SnapshotKind::kAllocations) {  // no objects were walked
    lines.push_back(row("holds").text("what was allocated while the process was tracked: summary, tree, table, stats"));
    return;
  }
  if (header.method == "core") {
    add_text(lines, "core", header.core.file);
    add_text(lines, "signal", signal_text(header.core));
    lines.push_back(row("method").text(fmt::format("core, walked in {:.0f} ms", header.walk_ms)));
    return add_objects(lines, header);
  }
  lines.push_back(row("method").text(fmt::format("{}, stopped {:.1f} ms, walked in {:.0f} ms, child {:.0f} ms of CPU",
                                                 header.method, header.pause_ms, header.walk_ms, header.child_cpu_ms)));
  Line memory = row("memory");
  memory.text("RSS ").bytes(header.memory.rss).text("  PSS ").bytes(header.memory.pss);
  memory.text("  USS ").bytes(header.memory.uss);
  lines.push_back(memory);
  add_objects(lines, header);
}

void add_tracking(std::vector<Line>& lines, const TrackingNote& note) {
  if (note.end.empty()) return;
  Line line = row("tracking");
  line.text("ended because ").name(note.end);
  if (note.overhead >= 0) line.text(fmt::format(", cost {:.1f} %", note.overhead));
  lines.push_back(std::move(line));
  if (!note.group.empty()) {
    Line group = row("group");
    group.name(note.group);
    if (note.forked_from != 0) group.text(fmt::format(", forked from {}", note.forked_from));
    lines.push_back(std::move(group));
  }
  for (const std::string& left : note.left_behind) lines.push_back(row("left behind").name(left, Emphasis::kBad));
}

Fact tracking_fact(const TrackingNote& note) {
  if (note.end.empty()) return {nullptr};
  FactArray left;
  for (const std::string& line : note.left_behind) left.push_back({line});
  return {FactObject{{"end", {note.end}},
                     {"group", note.group.empty() ? Fact{nullptr} : Fact{note.group}},
                     {"forked_from", note.forked_from == 0 ? Fact{nullptr} : Fact{std::int64_t{note.forked_from}}},
                     {"overhead", note.overhead < 0 ? Fact{nullptr} : Fact{note.overhead}},
                     {"left_behind", {std::move(left)}}}};
}

Table parts_table(const std::vector<FilePart>& parts) {
  Table table;
  table.key = "parts";
  table.row_kind = "part";
  table.columns = {{"part", "PART", CellKind::kName},
                   {"items", "ITEMS", CellKind::kCount},
                   {"stored", "STORED", CellKind::kBytes},
                   {"raw", "RAW", CellKind::kBytes},
                   {"state", "STATE", CellKind::kText}};
  table.machine_columns = {0, 1, 2, 3, 4};
  for (const FilePart& part : parts) {
    const std::string state = !part.intact ? "damaged" : part.known ? "ok" : "not known to this memsnap";
    table.rows.push_back({part.name, part.items, part.stored, part.raw, state});
    table.emphasis.push_back(part.intact ? Emphasis::kNone : Emphasis::kBad);
  }
  return table;
}

}  // namespace

Report make_info(const SnapshotHeader& header, const FileFacts& file) {
  Report report;
  report.schema = "memsnap.info/1";
  report.facts = {{"file", {file.path}},
                  {"file_bytes", {file.bytes}},
                  {"format_version", {std::uint64_t{file.format_version}}},
                  {"intact", {file.intact}},
                  {"memsnap_version", {header.tool_version}},
                  {"target", {target_facts(header.target)}},
                  {"memory", {memory_facts(header.memory)}},
                  {"totals", {totals_facts(header)}},
                  {"snapshot", {capture_facts(header)}},
                  {"tracking", tracking_fact(header.tracking)}};
  std::vector<Line>& lines = report.headline;
  lines.push_back(Line().text(file.path, Emphasis::kStrong));
  lines.push_back(row("kind").text(fmt::format("{}, strings {}{}, format {}", kind_name(header.kind),
                                               strings_name(header.strings, header.strings_prefix),
                                               header.redacted ? ", redacted" : "", file.format_version)));
  lines.push_back(row("size on disk").bytes(file.bytes));
  lines.push_back(file.intact ? row("integrity").text("every checksum is right", Emphasis::kGood)
                              : row("integrity").text("damaged: the parts below say where", Emphasis::kBad));
  add_text(lines, "taken", utc_time(header.taken_at_ns));
  add_text(lines, "by", "memsnap " + header.tool_version);
  add_target(lines, header.target);
  add_measures(lines, header);
  add_tracking(lines, header.tracking);
  std::vector<Line> doubts = caveats(header);
  lines.insert(lines.end(), std::make_move_iterator(doubts.begin()), std::make_move_iterator(doubts.end()));
  if (!file.parts.empty()) report.table = parts_table(file.parts);
  return report;
}

}  // namespace memsnap
