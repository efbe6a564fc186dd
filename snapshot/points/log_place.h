#pragma once

#include <string>

namespace memsnap {

// The very file that a log's name leads to, without links: SQLite then follows none. Throws Error kBadFile for a link
// that another user made: in a folder of many it may lead to any log.
std::string place_of_log(const std::string& path);

// SQLite takes what lies beside a log for the latest of it. Throws Error kBadFile when another user than the log's put
// it there.
void require_own_side_files(const std::string& place);

}  // namespace memsnap
