#include "report/cli/live_screens.h"

#include <string>

#include "report/cli/option_values.h"
#include "report/cli/value_types.h"
#include "report/cli/version.h"
#include "snapshot/session/target_info.h"

namespace memsnap {

LiveScreens::LiveScreens(const Invocation& invocation, pid_t pid, bool once) : invocation_(invocation), once_(once) {
  snapshot_.header.target = read_target_info(pid);
  snapshot_.header.kind = SnapshotKind::kAllocations;
  snapshot_.header.tool_version = version_number();
  if (const auto rows = option_value<WholeNumber>(invocation.options, "rows")) options_.rows = rows->value;
  const std::string sort = option_value<std::string>(invocation.options, "sort").value_or("total");
  options_.sort = sort == "own" ? ProfileSort::kOwn : sort == "count" ? ProfileSort::kCount : ProfileSort::kTotal;
}

void LiveScreens::show(const SliceRecorder& recorder) {
  if (once_ && shown_) return;
  shown_ = true;
  snapshot_.profile = recorder.profile();
  const Report report = make_live(snapshot_, options_);
  if (invocation_.output.format() == Format::kText) {
    if (!once_) invocation_.output.clear_screen();
    invocation_.output.write_now(report);
  } else if (once_ && invocation_.output.format() == Format::kJson) {
    invocation_.output.write(report);
  } else {
    invocation_.output.write_line(report);
  }
}

}  // namespace memsnap
