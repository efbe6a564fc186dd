#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace memsnap {

// A process as a log knows it: a pid that is used again, or after a reboot, is another one.
struct ProcessKey {
  std::string host;
  std::string boot;  // the kernel's random id of this boot
  std::int32_t pid = 0;
  std::uint64_t start_time = 0;  // clock ticks since boot

  bool operator==(const ProcessKey&) const = default;
};

// What one look at a process gave.
struct MeasuredMemory {
  std::int64_t time_ns = 0;  // since the epoch, UTC: by the clock as it stood then
  std::uint64_t rss = 0;
  std::uint64_t pss = 0;
  std::uint64_t uss = 0;
  std::optional<std::uint64_t> object_bytes;  // of all live Python objects; empty: they were not counted
  std::optional<std::uint64_t> objects;
  std::optional<std::int64_t> pause_ns;  // how long the process stood for it
};

// A memory point: what a process took at one moment, under a name. Every text may be anybody's: escape it.
struct MemoryPoint {
  std::int64_t sequence = 0;  // 1 for the first of a log: the order, whatever the clock says
  ProcessKey process;
  std::string name;         // of the process, for people
  std::string id;           // unique for the process in its log
  std::string asked;        // the id that was asked for, before "-2" was added
  std::int64_t repeat = 1;  // that number; 1: nothing was added
  MeasuredMemory memory;
  std::string note;
};

}  // namespace memsnap
