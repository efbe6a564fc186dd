#include "report/detach_report.h"

#include <fmt/format.h>

#include <utility>

#include "report/text_layout.h"

namespace memsnap {

Report make_detach(const DetachFindings& findings) {
  Report report;
  report.schema = "memsnap.detach/1";
  FactArray left;
  for (const std::string& line : findings.left_behind) left.push_back({line});
  report.facts = {
      {"pid", {std::int64_t{findings.pid}}},
      {"found", {findings.found}},
      {"ended_session", findings.ended_keeper == 0 ? Fact{nullptr} : Fact{std::int64_t{findings.ended_keeper}}},
      {"pause_ms", {findings.pause_ms}},
      {"hooks_undone", {findings.hooks_undone}},
      {"left_behind", {std::move(left)}}};
  Line line;
  line.text(fmt::format("{}: ", findings.pid));
  if (!findings.found) {
    line.text("nothing of memsnap is in it");
  } else if (findings.ended_keeper != 0) {
    line.text(fmt::format("memsnap {} has ended its session, nothing of it is left", findings.ended_keeper));
  } else {
    line.text(fmt::format("{} hooks taken back, stopped {:.1f} ms, ", findings.hooks_undone, findings.pause_ms));
    line.text(findings.left_behind.empty() ? "nothing left behind"
                                           : fmt::format("{} left behind", findings.left_behind.size()),
              findings.left_behind.empty() ? Emphasis::kGood : Emphasis::kBad);
  }
  report.headline = {line};
  return report;
}

}  // namespace memsnap
