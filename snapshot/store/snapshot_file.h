#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "snapshot/model/snapshot.h"

namespace memsnap {

// What of a snapshot a report needs; the header is always there. What depends on other parts brings them with it.
using Parts = std::uint32_t;
inline constexpr Parts kPartTypes = 1u << 0;       // graph.types and their names: enough for a summary
inline constexpr Parts kPartNodes = 1u << 1;       // type, size, flags
inline constexpr Parts kPartAddresses = 1u << 2;   // address
inline constexpr Parts kPartEdges = 1u << 3;       // edge_begin, edge_target, edge_label
inline constexpr Parts kPartStrings = 1u << 4;     // all of graph.strings
inline constexpr Parts kPartRoots = 1u << 5;       // roots
inline constexpr Parts kPartTexts = 1u << 6;       // text_node, text, hash_node, text_hash
inline constexpr Parts kPartDominators = 1u << 7;  // dominator, retained
inline constexpr Parts kPartThreads = 1u << 8;     // threads, when the file has them
inline constexpr Parts kPartProfile = 1u << 9;     // profile, when the file has it
inline constexpr Parts kPartSites = 1u << 10;      // site, when the file has it
inline constexpr Parts kPartsTree =
    kPartTypes | kPartNodes | kPartEdges | kPartStrings | kPartRoots | kPartTexts | kPartDominators;
inline constexpr Parts kPartsAll = kPartsTree | kPartAddresses | kPartThreads | kPartProfile | kPartSites;

// Throws Error kBadFile, saying which: not a memsnap file, cut short, damaged (and where), from a newer memsnap.
// Columns the file does not have (a snapshot of kind `types`) stay empty.
Snapshot load_snapshot(const std::filesystem::path& path, Parts wanted);

struct SaveOptions {
  bool force = false;  // replace a file of that name
  int level = 3;       // of zstd
};

// Returns the bytes written. Throws Error kCannotWrite; then nothing is left behind.
std::uint64_t save_snapshot(const Snapshot& snapshot, const std::filesystem::path& path,
                            const SaveOptions& options = {});

struct PartInfo {
  std::string name;
  std::uint64_t items = 0;
  std::uint64_t stored = 0;  // bytes in the file
  std::uint64_t raw = 0;     // bytes when decompressed
  bool known = true;         // to this memsnap
  bool intact = true;        // checksum
};

struct SnapshotInfo {
  SnapshotHeader header;
  std::uint32_t format_version = 0;
  std::uint64_t file_size = 0;
  std::vector<PartInfo> parts;
  bool intact = true;  // all parts
};

// For `info`: reads and checks the whole file, but keeps none of it. A damaged part is reported, not thrown, unless it
// is the header.
SnapshotInfo inspect_snapshot(const std::filesystem::path& path);

}  // namespace memsnap
