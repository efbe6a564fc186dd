#include "report/detach_report.h"

#include <fmt/format.h>

#include <utility>

#include "report/text_layout.h"

namespace memsnap {

namespace {

FactArray texts(const std::vector<std::string>& lines) {
  FactArray array;
  for (const std::string& line : lines) array.push_back({line});
  return array;
}

Line saved(const std::string& file) {
  Line line;
  return line.text("saved ").text(file, Emphasis::kStrong);
}

}  // namespace

Report make_detach(const DetachFindings& findings) {
  Report report;
  report.schema = "memsnap.detach/1";
  FactArray left = texts(findings.left_behind);
  report.facts = {
      {"pid", {std::int64_t{findings.pid}}},
      {"found", {findings.found}},
      {"ended_session", findings.ended_keeper == 0 ? Fact{nullptr} : Fact{std::int64_t{findings.ended_keeper}}},
      {"pause_ms", {findings.pause_ms}},
      {"hooks_undone", {findings.hooks_undone}},
      {"copies_reaped", {std::uint64_t{findings.copies_reaped}}},
      {"left_behind", {std::move(left)}},
      {"file", findings.file.empty() ? Fact{nullptr} : Fact{findings.file}},
      {"child_files", {texts(findings.child_files)}},
      {"warnings", {texts(findings.warnings)}}};
  Line line;
  line.text(fmt::format("{}: ", findings.pid));
  if (!findings.found) {
    line.text("nothing of memsnap is in it");
  } else if (findings.ended_keeper != 0) {
    line.text(fmt::format("memsnap {} has ended its session, ", findings.ended_keeper));
    if (findings.hooks_undone != 0) line.text(fmt::format("{} hooks taken back, ", findings.hooks_undone));
    line.text(findings.left_behind.empty() ? "nothing of it is left"
                                           : fmt::format("{} left behind", findings.left_behind.size()),
              findings.left_behind.empty() ? Emphasis::kGood : Emphasis::kBad);
  } else {
    line.text(fmt::format("{} hooks taken back, stopped {:.1f} ms, ", findings.hooks_undone, findings.pause_ms));
    if (findings.copies_reaped != 0) line.text(fmt::format("{} frozen copies reaped, ", findings.copies_reaped));
    line.text(findings.left_behind.empty() ? "nothing left behind"
                                           : fmt::format("{} left behind", findings.left_behind.size()),
              findings.left_behind.empty() ? Emphasis::kGood : Emphasis::kBad);
  }
  report.headline = {line};
  for (const std::string& warning : findings.warnings)
    report.headline.push_back(Line().name(warning, Emphasis::kWarning));
  for (const std::string& file : findings.child_files) report.headline.push_back(saved(file));
  if (!findings.file.empty()) report.headline.push_back(saved(findings.file));
  return report;
}

}  // namespace memsnap
