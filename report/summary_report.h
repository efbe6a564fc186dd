#pragma once

#include <cstddef>
#include <cstdint>

#include "report/report.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

enum class SummarySort : std::uint8_t { kSize, kCount, kRetained, kNative, kMean, kName };

struct SummaryOptions {
  std::size_t rows = 25;   // 0: all
  double min_percent = 0;  // of all bytes, own or retained
  SummarySort sort = SummarySort::kSize;
  bool mean = true;  // the column MEAN
};

// Objects by type: memsnap.summary/1.
Report make_summary(const Snapshot& snapshot, const SummaryOptions& options);

}  // namespace memsnap
