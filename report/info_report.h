#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "report/report.h"
#include "snapshot/model/snapshot.h"

namespace memsnap {

struct FilePart {
  std::string name;
  std::uint64_t items = 0;
  std::uint64_t stored = 0;  // bytes in the file
  std::uint64_t raw = 0;     // bytes when decompressed
  bool known = true;
  bool intact = true;  // its checksum is right
};

struct FileFacts {
  std::string path;
  std::uint64_t bytes = 0;
  std::uint32_t format_version = 0;
  bool intact = true;
  std::vector<FilePart> parts;
};

// Everything a file says about itself, but for its columns: memsnap.info/1.
Report make_info(const SnapshotHeader& header, const FileFacts& file);

}  // namespace memsnap
