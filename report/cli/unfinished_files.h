#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace memsnap {

// What a memsnap was writing when it was killed: NAME.msnap.tmp.PID. A regular file of this user, not written for
// `least_age`, which no living memsnap holds (OutputFile locks its own, whatever namespace it is in).
struct UnfinishedFile {
  std::string path;
  std::uint64_t bytes = 0;
  std::int64_t written_ns = 0;
};
std::vector<UnfinishedFile> unfinished_files(const std::string& directory, std::chrono::seconds least_age);
void remove_unfinished(const std::string& path);  // throws Error kCannotWrite

}  // namespace memsnap
