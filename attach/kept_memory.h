#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "attach/cached_memory.h"
#include "attach/memory_map.h"
#include "attach/process_memory.h"

namespace memsnap {

// Small parts of a process, each page read once and kept: what was read while it stood still can be read again when it
// runs. Made for the few pages that tell what threads do, not for a heap.
class KeptMemory final : public ProcessMemory {
 public:
  // Takes room for the first pages at once: while the process stands still there is no time for it.
  explicit KeptMemory(pid_t pid);

  // Nothing new is read after that.
  void set_deadline(std::chrono::steady_clock::time_point deadline) { deadline_ = deadline; }
  // True when something could not be read for that reason.
  bool expired() const { return expired_; }
  // Reads and keeps a range, from its begin on until a page is not readable.
  void keep(std::uint64_t begin, std::uint64_t end);
  // From now on what was not kept is read only where `map` says that the process does not write: program text, tables.
  void let_go(MemoryMap map);

  bool copy(std::uint64_t address, std::span<std::byte> out) const override;

 private:
  static constexpr std::size_t kPage = 4096;
  static constexpr std::size_t kSlabPages = 256;
  const std::byte* page(std::uint64_t number) const;
  std::byte* room() const;  // for one more page
  bool may_read(std::uint64_t number) const;

  LiveMemory live_;
  mutable std::vector<std::vector<std::byte>> slabs_;
  mutable std::size_t used_ = 0;                                 // pages of them
  mutable std::unordered_map<std::uint64_t, std::byte*> pages_;  // nullptr: not readable
  std::optional<std::chrono::steady_clock::time_point> deadline_;
  std::optional<MemoryMap> map_;
  mutable bool expired_ = false;
};

}  // namespace memsnap
