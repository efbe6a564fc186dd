#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/report.h"

namespace memsnap {

struct PrunedFile {
  std::string path;
  std::uint64_t bytes = 0;
  std::int64_t taken_at_ns = 0;
  std::int32_t pid = 0;
  std::string name;
};

struct PruneFindings {
  std::string directory;
  bool pretend = false;  // nothing was removed: these would be
  std::vector<PrunedFile> removed{};
  std::uint64_t kept = 0;
  std::uint64_t kept_bytes = 0;
};

// memsnap.prune/1
Report make_prune_report(const PruneFindings& findings);

}  // namespace memsnap
