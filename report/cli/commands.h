#pragma once

#include "report/cli/command.h"

namespace memsnap {

Command ps_command();
Command doctor_command();
Command attach_command();
Command snapshot_command();
Command detach_command();
Command live_command();
Command point_command();
Command log_command();
Command summary_command();
Command tree_command();
Command table_command();
Command roots_command();
Command objects_command();
Command inspect_command();
Command stats_command();
Command diff_command();
Command growth_command();
Command threads_command();
Command info_command();
Command prune_command();
Command export_command();
Command watch_command();
Command memory_command();
Command help_command();

}  // namespace memsnap
