#include "report/cli/snapshot_condition.h"

#include <fmt/format.h>

#include "attach/memory_map.h"
#include "attach/process_id.h"
#include "report/cli/option_values.h"
#include "report/cli/stored_snapshots.h"
#include "report/text_layout.h"

namespace memsnap {
namespace {

namespace po = boost::program_options;

std::string size_text(std::uint64_t bytes) { return bytes_text(bytes, Units::kIec); }

std::string text_of(const SizeOrPercent& wanted) {
  return wanted.percent ? fmt::format("{:g} %", *wanted.percent) : size_text(wanted.bytes);
}

}  // namespace

void add_condition_options(po::options_description& options) {
  auto add = options.add_options();
  add("if-rss-over", po::value<ByteCount>()->value_name("SIZE"), "do nothing unless its RSS is larger");
  add("if-grew", po::value<SizeOrPercent>()->value_name("SIZE|PCT"),
      "do nothing unless its RSS grew by so much since its last snapshot in the directory");
}

SnapshotCondition read_condition(const po::variables_map& values) {
  SnapshotCondition condition;
  if (const auto rss = option_value<ByteCount>(values, "if-rss-over")) condition.rss_over = rss->value;
  condition.grew = option_value<SizeOrPercent>(values, "if-grew");
  return condition;
}

bool grew_enough(std::uint64_t before, std::uint64_t now, const SizeOrPercent& wanted) {
  if (now <= before) return false;
  const std::uint64_t grown = now - before;
  if (!wanted.percent) return grown >= wanted.bytes;
  return static_cast<double>(grown) * 100 >= *wanted.percent * static_cast<double>(before);
}

std::optional<std::string> reason_to_skip(const SnapshotCondition& condition, const Candidate& target,
                                          const std::string& directory, SnapshotFolders& folders) {
  if (condition.is_empty()) return std::nullopt;
  const ProcessId process = ProcessId::open(target.pid);
  const std::uint64_t rss = read_memory_use(target.pid).rss;
  if (condition.rss_over && rss <= *condition.rss_over)
    return fmt::format("RSS {} is not over {}", size_text(rss), size_text(*condition.rss_over));
  if (!condition.grew) return std::nullopt;
  std::optional<std::uint64_t> before;
  for (const StoredSnapshot& file : folders.read(directory)) {
    if (file.pid == target.pid && file.start_time == process.start_time()) before = file.rss;
  }
  if (!before || grew_enough(*before, rss, *condition.grew)) return std::nullopt;
  return fmt::format("RSS {} is not {} over the {} of its last snapshot", size_text(rss), text_of(*condition.grew),
                     size_text(*before));
}

}  // namespace memsnap
