#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "report/cli/terminal.h"
#include "report/cli/value_types.h"

namespace memsnap {

// Where snapshots go and come from without --dir: $MEMSNAP_DIR, else ~/.local/state/memsnap. `secure`: AT_SECURE is
// set, and the environment is somebody else's word.
std::string default_directory(const GetVariable& variable, bool secure);
void make_private_directory(const std::string& path);  // with its parents, 0700; throws Error kCannotWrite

// The newest snapshot in a directory. Throws Error kBadFile when there is none.
std::string newest_snapshot(const std::string& directory);

// What stands for the letters in a name pattern.
struct NameParts {
  pid_t pid = 0;             // %p
  std::string name;          // %n
  std::string host;          // %h
  std::int64_t time_ns = 0;  // %t, UTC
  std::string container;     // %c
  std::string kind;          // %k
};
// Texts of the target lose what does not belong in a file name. Throws Error kUsage for an unknown letter.
std::string expand_name(std::string_view pattern, const NameParts& parts);
std::string file_name_part(std::string_view text);  // letters, digits, '.', '_', '-'; at most 40

inline constexpr std::string_view kDefaultName = "%n-%p-%t.msnap";

// `wanted` of the options: a pattern, a directory to put the default name in, or nothing.
std::string snapshot_path(const std::optional<std::string>& wanted, const std::string& directory,
                          const NameParts& parts);

bool names_one_file(const std::string& wanted);  // whatever the time
// Itself, or with -2, -3, ... before its extension: two snapshots within a second have the same time in their names.
std::string path_not_taken(const std::string& path);

// Before a target is touched: throws Error kCannotWrite when the file exists and `force` is not given, when its folder
// cannot be written, or has less free space than `min_free` (default: 1 GiB or 5 %, the smaller one).
void require_writable(const std::string& path, bool force, const std::optional<SizeOrPercent>& min_free);

std::string folder_of(const std::string& path);    // "." for a name alone
std::uint64_t file_size(const std::string& path);  // 0 when it cannot be told

}  // namespace memsnap
