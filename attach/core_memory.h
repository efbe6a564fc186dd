#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "attach/process_memory.h"

namespace memsnap {

// Memory pieced together from ranges of files, read by pread(2) every time: nothing is held here, however large they
// are.
class CoreMemory final : public ProcessMemory {
 public:
  // [begin, end) is at `offset` of `file`, which outlives this. What is there already stays: the first to come wins.
  void add(std::uint64_t begin, std::uint64_t end, int file, std::uint64_t offset);
  // Says that [begin, end) is not to be had, whoever offers it later: the part of a core that was cut off.
  void block(std::uint64_t begin, std::uint64_t end) { add(begin, end, -1, 0); }
  // The parts of [begin, end) that are still free, in bytes.
  std::uint64_t missing(std::uint64_t begin, std::uint64_t end) const;

  bool copy(std::uint64_t address, std::span<std::byte> out) const override;

 private:
  struct Range {
    std::uint64_t begin, end, offset;
    int file;  // -1: blocked
  };
  std::vector<Range> free_parts(std::uint64_t begin, std::uint64_t end) const;
  std::vector<Range>::const_iterator first_ending_after(std::uint64_t address) const;

  std::vector<Range> ranges_;  // ascending, apart
};

}  // namespace memsnap
