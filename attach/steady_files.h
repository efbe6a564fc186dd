#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "attach/base/file_descriptor.h"

namespace memsnap {

// Files that are to be mapped. One that its owner cuts short meanwhile would be a SIGBUS here, so what somebody else
// than root or our own user may write is copied into memory, up to a limit for each and one for all.
class SteadyFiles {
 public:
  static constexpr std::uint64_t kMostOfOne = 512ull << 20;
  static constexpr std::uint64_t kMostOfAll = 1ull << 30;
  explicit SteadyFiles(std::uint64_t most_of_all = kMostOfAll) : room_(most_of_all) {}

  // The file, or a copy; empty when it cannot be read, or there is no room for a copy.
  FileDescriptor take(FileDescriptor file);
  // What is to be said about those that had no room; empty: there were none.
  std::optional<std::string> left_out() const;

 private:
  std::uint64_t room_;
  std::uint64_t left_out_ = 0;
};

}  // namespace memsnap
