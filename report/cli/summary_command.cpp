#include <fmt/format.h>

#include <array>
#include <optional>
#include <string>

#include "report/cli/allocation_choice.h"
#include "report/cli/commands.h"
#include "report/cli/option_values.h"
#include "report/cli/process_argument.h"
#include "report/cli/report_command.h"
#include "report/cli/value_types.h"
#include "report/profile_summary_report.h"
#include "report/summary_report.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

enum class Subject { kTypes, kAllocations, kSites };

Subject subject_of(const Invocation& invocation, const FileContents& contents, const std::string& file) {
  const auto by = option_value<std::string>(invocation.options, "by");
  if (by == "type") {
    if (contents.objects) return Subject::kTypes;
    throw Error(ExitCode::kUsage, fmt::format("{} has allocations only: no objects and types", file),
                "--by function, line, file, module, thread, allocator");
  }
  const bool asked =
      option_flag(invocation.options, "allocations") || chosen_measure(invocation) != ProfileMeasure::kAllocated;
  if (by == "line" && contents.sites && !asked) return Subject::kSites;
  const bool implied = by || option_flag(invocation.options, "hide-imports");
  return wants_allocations(invocation, contents, file, implied) ? Subject::kAllocations : Subject::kTypes;
}

ProfileSort profile_sort(const Invocation& invocation) {
  const std::string word = option_value<std::string>(invocation.options, "sort").value_or("total");
  if (word == "total") return ProfileSort::kTotal;
  if (word == "own") return ProfileSort::kOwn;
  if (word == "count") return ProfileSort::kCount;
  throw Error(ExitCode::kUsage, fmt::format("allocations cannot be sorted by {}", word), "--sort total, own, count");
}

SummarySort type_sort(const Invocation& invocation) {
  const std::string word = option_value<std::string>(invocation.options, "sort").value_or("size");
  if (word == "total" || word == "own") {
    throw Error(ExitCode::kUsage, fmt::format("types cannot be sorted by {}", word),
                "--sort size, count, retained, native, mean, name; --allocations shows allocations");
  }
  return summary_sort(word);
}

Report allocation_report(const Invocation& invocation, const Snapshot& snapshot, Subject subject) {
  ProfileSummaryOptions options;
  options.by = profile_by(option_value<std::string>(invocation.options, "by").value_or("function")).value();
  options.measure = chosen_measure(invocation);
  options.sort = profile_sort(invocation);
  options.rows = option_value<WholeNumber>(invocation.options, "rows").value_or(WholeNumber{25}).value;
  options.min_percent = option_value<Percent>(invocation.options, "min").value_or(Percent{}).value;
  options.hide_imports = option_flag(invocation.options, "hide-imports");
  return subject == Subject::kSites ? make_site_summary(snapshot, options) : make_profile_summary(snapshot, options);
}

Report type_report(const Invocation& invocation, const Snapshot& snapshot) {
  SummaryOptions options;
  options.rows = option_value<WholeNumber>(invocation.options, "rows").value_or(WholeNumber{25}).value;
  options.min_percent = option_value<Percent>(invocation.options, "min").value_or(Percent{}).value;
  options.sort = type_sort(invocation);
  return make_summary(snapshot, options);
}

Report report_on(const Invocation& invocation, const Snapshot& snapshot, Subject subject) {
  return subject == Subject::kTypes ? type_report(invocation, snapshot)
                                    : allocation_report(invocation, snapshot, subject);
}

ExitCode run_summary(const Invocation& invocation) {
  constexpr std::array<Parts, 3> kParts{kPartTypes, kPartProfile, kPartNodes | kPartSites | kPartProfile};
  Subject subject = Subject::kTypes;
  if (const auto capture = look_at_process(invocation, invocation.arguments)) {
    const Snapshot& snapshot = capture->result.snapshot;
    const FileContents contents{
        .objects = true, .allocations = snapshot.profile.has_value(), .sites = !snapshot.graph.site.empty()};
    subject = subject_of(invocation, contents, invocation.arguments.front());
    write_report(invocation, report_on(invocation, snapshot, subject));
    return verdict(*capture, invocation.log);
  }
  const std::string file = input_file(invocation);
  const Snapshot snapshot = load_chosen(file, [&](const FileContents& contents) {
    subject = subject_of(invocation, contents, file);
    return kParts.at(static_cast<std::size_t>(subject));
  });
  write_report(invocation, report_on(invocation, snapshot, subject));
  return ExitCode::kDone;
}

}  // namespace

Command summary_command() {
  Command command;
  command.name = "summary";
  command.summary = "objects by type, or allocations by function, line, file, module, thread, allocator";
  command.arguments = "[FILE | PID]";
  command.description =
      "Without FILE: the newest snapshot in the directory of --dir ($MEMSNAP_DIR, else ~/.local/state/memsnap).\n"
      "With PID: the running process is looked at, and nothing is saved; when a memsnap tracks it, with its "
      "allocations.\n"
      "Of objects: SIZE is their own, RETAINED what would go with them, NATIVE what C code keeps for them. Types are "
      "module.qualname; the terminal leaves out "
      "builtins.\n"
      "Of allocations: OWN is what the function allocated itself, TOTAL that with all it called. A file that has both "
      "shows its objects, unless an option is given that only allocations have. --by line shows where its objects "
      "were allocated, as far as that was recorded.";
  auto add = command.options.add_options();
  add("by", one_of("by", {"type", "function", "line", "file", "module", "thread", "allocator"}), "what a row is");
  add("sort", one_of("sort", {"size", "count", "retained", "native", "mean", "name", "total", "own"}),
      "largest first; default size, of allocations total");
  add("rows,n", po::value<WholeNumber>()->value_name("ROWS"), "at most so many rows; 0: all; default 25");
  add("min", po::value<Percent>()->value_name("PCT"), "leave out rows below PCT of all bytes, own and retained");
  add_allocation_options(command.options);
  add("hide-imports", po::bool_switch(), "give the bytes of the import system's frames to who imports");
  add_look_options(command.options);
  add_report_output_options(command.options);
  command.examples = {{"memsnap summary", "the newest snapshot"},
                      {"memsnap summary --sort retained -n 10 shop.msnap", "the ten types that retain most"},
                      {"memsnap summary --by function --leaks shop.msnap", "who allocated what was not freed"},
                      {"memsnap summary -n 0 --csv shop.msnap > types.csv", "all types for a spreadsheet"}};
  command.exit_codes = capture_codes();
  command.exit_codes.push_back(ExitCode::kBadFile);
  command.tabular = true;
  command.run = run_summary;
  return command;
}

}  // namespace memsnap
