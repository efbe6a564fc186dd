#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "report/report.h"
#include "snapshot/analysis/call_sums.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

enum class TableColumn : std::uint8_t {
  kSize,
  kCount,
  kMean,
  kLive,
  kPeak,
  kTemporary,
  kAllocator,
  kThread,
  kLocation,
};
// The words of --columns, in the order of TableColumn.
inline const std::vector<std::string>& table_column_names() {
  static const std::vector<std::string> names{"size",      "count",     "mean",   "live",    "peak",
                                              "temporary", "allocator", "thread", "location"};
  return names;
}

struct ProfileTableOptions {
  ProfileMeasure measure = ProfileMeasure::kAllocated;  // of size, count and mean
  std::vector<TableColumn> columns{TableColumn::kSize,      TableColumn::kCount,  TableColumn::kMean,
                                   TableColumn::kAllocator, TableColumn::kThread, TableColumn::kLocation};
  TableColumn sort = TableColumn::kSize;  // numbers: largest first, names: in order
  std::optional<TableColumn> group_by{};  // kAllocator, kThread or kLocation: one row for each
  std::size_t rows = 25;                  // 0: all
};

// Allocations by the line that made them, thread and allocator: memsnap.table/1. The snapshot has a profile.
Report make_profile_table(const Snapshot& snapshot, const ProfileTableOptions& options);

}  // namespace memsnap
