#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "report/report.h"
#include "snapshot/model/snapshot.h"
#include "snapshot/model/snapshot_diff.h"

namespace memsnap {

enum class DiffBy : std::uint8_t { kType, kModule, kPath, kMemory };
enum class DiffSort : std::uint8_t { kDelta, kPercent, kName };  // the largest change first, up or down

struct DiffOptions {
  DiffBy by = DiffBy::kType;
  DiffSort sort = DiffSort::kDelta;
  std::size_t rows = 25;        // 0: all
  std::uint64_t min_delta = 0;  // bytes, up or down
};

// Where most of the new objects hang: the deepest object that holds at least half of them.
struct NewHolder {
  std::string path;  // "module shop.cart.CACHE"
  std::string type;
  std::uint64_t count = 0;  // of the new objects
};

struct DiffInput {
  const SnapshotHeader& old_header;
  const SnapshotHeader& new_header;
  bool same_process = false;
  std::vector<Change> changes;
  std::optional<ObjectChanges> objects;  // of one process only
  std::optional<NewHolder> holder;
};

// What changed from one snapshot to another: memsnap.diff/1.
Report make_diff(DiffInput input, const DiffOptions& options);

}  // namespace memsnap
