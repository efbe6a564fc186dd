#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "attach/cached_memory.h"
#include "attach/child_memory.h"
#include "attach/memory_map.h"
#include "attach/process_memory.h"

namespace memsnap {

// A copy of some of a process's mappings in our own memory. What was not taken is read from the running process.
class MemoryImage final : public ProcessMemory {
 public:
  MemoryImage(pid_t pid, const MemoryMap& map);
  ~MemoryImage() override;
  MemoryImage(const MemoryImage&) = delete;
  MemoryImage& operator=(const MemoryImage&) = delete;

  // Gets the place for a mapping ready, so that taking it costs no page faults. While the process runs.
  void prepare(const Mapping& mapping);
  // Copies it, while the process is stopped. False when the deadline came first; what was copied until then is kept.
  bool take(const Mapping& mapping, std::chrono::steady_clock::time_point deadline);
  // All taken.
  void finish();

  bool copy(std::uint64_t address, std::span<std::byte> out) const override;

 private:
  struct Part {
    std::uint64_t begin, end, copied;  // copied up to here
    std::byte* bytes;
    std::size_t size() const { return end - begin; }
  };
  struct Run {
    std::uint64_t begin, end;
    bool exclusive;  // no other process has them
  };
  Part* place_for(const Mapping& mapping);
  std::vector<Run> used_pages(const Mapping& mapping, Run window) const;
  void copy_run(const Part& part, Run run) const;

  LiveMemory pinned_;  // the faster one, for what is not shared
  ChildMemory live_;
  FileDescriptor page_map_;
  std::vector<Part> parts_;
};

}  // namespace memsnap
