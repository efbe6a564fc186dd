#include "report/info_report.h"

#include <fmt/format.h>

#include <iterator>
#include <utility>

#include "report/text_layout.h"

namespace memsnap {
namespace {

constexpr std::size_t kLabelWidth = 16;

Line row(std::string_view label) { return Line().text(" " + padded_right(label, kLabelWidth), Emphasis::kFaint); }

void add_text(std::vector<Line>& lines, std::string_view label, const std::string& value) {
  if (!value.empty()) lines.push_back(row(label).name(value));
}

}  // namespace

Report make_info(const SnapshotHeader& header, const SavedFile& file) {
  Report report;
  report.schema = "memsnap.info/1";
  report.facts = {{"file", {file.path}},
                  {"file_bytes", {file.bytes}},
                  {"memsnap_version", {header.tool_version}},
                  {"target", {target_facts(header.target)}},
                  {"memory", {memory_facts(header.memory)}},
                  {"totals", {totals_facts(header)}},
                  {"snapshot", {capture_facts(header)}}};
  std::vector<Line>& lines = report.headline;
  const TargetInfo& target = header.target;
  lines.push_back(Line().name(file.path, Emphasis::kStrong));
  lines.push_back(row("kind").text(kind_name(header.kind)).text(", strings " +
                                                               strings_name(header.strings, header.strings_prefix) +
                                                               (header.redacted ? ", redacted" : "")));
  lines.push_back(row("size on disk").bytes(file.bytes));
  lines.push_back(row("integrity").text("all checksums are right", Emphasis::kGood));
  add_text(lines, "taken", utc_time(header.taken_at_ns));
  add_text(lines, "by", "memsnap " + header.tool_version);
  lines.push_back(row("process").text(fmt::format("{} ", target.pid)).name(target.name));
  add_text(lines, "command line", target.command_line);
  add_text(lines, "executable", target.executable);
  add_text(lines, "host", target.host);
  add_text(lines, "user", target.user);
  add_text(lines, "container", target.container);
  add_text(lines, "python", "CPython " + target.python);
  lines.push_back(row("method").text(fmt::format("{}, stopped {:.1f} ms, walked in {:.0f} ms, child {:.0f} ms of CPU",
                                                 header.method, header.pause_ms, header.walk_ms, header.child_cpu_ms)));
  lines.push_back(row("memory").text("RSS ").bytes(header.memory.rss).text("  PSS ").bytes(header.memory.pss).text(
      "  USS ").bytes(header.memory.uss));
  lines.push_back(row("objects").count(header.objects).text("  ").bytes(header.bytes).text("  references ").count(
      header.edges));
  std::vector<Line> doubts = caveats(header);
  lines.insert(lines.end(), std::make_move_iterator(doubts.begin()), std::make_move_iterator(doubts.end()));
  return report;
}

}  // namespace memsnap
