#include "report/cli/snapshot_taker.h"

#include <fmt/format.h>

#include <algorithm>

#include "report/cli/files.h"
#include "report/cli/option_values.h"
#include "report/cli/plan.h"
#include "report/cli/point_record.h"
#include "report/cli/target_lock.h"
#include "report/snapshot_facts.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

std::string plain_text(const Line& line, Units units) {
  std::string text;
  for (const Piece& piece : pieces_of(line, units)) text += piece.text;
  return text;
}

// On stderr, so that standard output is the result alone.
void tell(const Invocation& invocation, const SnapshotHeader& header) {
  const std::string held = header.method == "core"   ? "from a core file"
                           : header.method == "read" ? "not stopped"
                                                     : fmt::format("stopped for {:.1f} ms", header.pause_ms);
  invocation.log.notice("snapshot_taken", fmt::format("{} {}, CPython {}, {}", header.target.pid, header.target.name,
                                                      header.target.python, held));
  for (const Line& line : caveats(header)) {
    const std::string text = plain_text(line, invocation.output.style().units);
    const std::string message = text.substr(std::min(text.find_first_not_of(' '), text.size()));
    // What is merely good to know is not a warning.
    if (line.spans().front().emphasis == Emphasis::kWarning) {
      invocation.log.warning("caveat", message);
    } else {
      invocation.log.info("remark", message);
    }
  }
}

}  // namespace

void add_taker_options(po::options_description& options) {
  add_retention_options(options);
  options.add_options()("lock", po::value<std::string>()->value_name("FILE|auto"),
                        "one memsnap at a time, else code 6; auto: for each process, without a file")(
      "point", po::value<std::string>()->value_name("ID"), "make a memory point of it too, for memsnap log");
}

SnapshotTaker::SnapshotTaker(const Invocation& invocation)
    : invocation_(invocation),
      capturer_(invocation, true),
      lock_(option_value<std::string>(invocation.options, "lock")),
      condition_(read_condition(invocation.options)),
      retention_(read_retention(invocation.options)),
      point_(option_value<std::string>(invocation.options, "point")) {
  if (point_) check_point_texts(*point_, "");
}

ExitCode SnapshotTaker::take(const Candidate& target, const Taken& taken) {
  const std::string path = capturer_.plan_path(target);
  if (capturer_.is_dry_run()) return write_plan(invocation_, target, path);
  const auto lock = lock_target(lock_, target.pid);
  const std::string folder = folder_of(path);
  if (const auto reason = reason_to_skip(condition_, target, folder, folders_)) {
    invocation_.log.notice("skipped", fmt::format("{}: no snapshot: {}", target.pid, *reason));
    invocation_.output.write_one(make_skipped_report(target.pid, *reason));
    return ExitCode::kDone;
  }
  const Capture capture = capturer_.take(target);
  if (taken) taken(capture);
  std::optional<Pruned> pruned;
  if (!retention_.is_empty())
    pruned = prune(folders_.read(folder), retention_, false, capture.file ? capture.file->path : "");
  const ExitCode code = show_snapshot(invocation_, capture, pruned);
  if (point_) record_snapshot_point(invocation_, capture.result.snapshot.header, *point_);
  return code;
}

ExitCode show_snapshot(const Invocation& invocation, const Capture& capture, const std::optional<Pruned>& pruned) {
  const SnapshotHeader& header = capture.result.snapshot.header;
  tell(invocation, header);
  Report report = make_snapshot_report(header, capture.file, capture.result.left_behind);
  if (pruned) report.facts.push_back({"pruned", {std::uint64_t{pruned->removed.size()}}});
  invocation.output.write_one(report);
  return verdict(capture, invocation.log);
}

}  // namespace memsnap
