#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "snapshot/model/snapshot.h"

namespace memsnap {

std::string header_to_json(const SnapshotHeader& header);
// Fields that are missing get their defaults; nothing when it is not JSON, or of a kind of snapshot not known here.
std::optional<SnapshotHeader> header_from_json(std::string_view json);

}  // namespace memsnap
