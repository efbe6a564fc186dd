#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "snapshot/model/allocation_profile.h"
#include "snapshot/model/heap_graph.h"
#include "snapshot/model/thread_stacks.h"

namespace memsnap {

// kAllocations: an allocation profile and no objects. kSession: totals only.
enum class SnapshotKind : std::uint8_t { kHeap = 0, kTypes = 1, kAllocations = 2, kSession = 3 };
enum class StringsPolicy : std::uint8_t { kNone = 0, kNames = 1, kPrefix = 2, kHash = 3 };

// Who was looked at. Every text here came from the target: escape before printing.
struct TargetInfo {
  std::int32_t pid = 0;
  std::uint64_t start_time = 0;  // clock ticks since boot
  std::string host;
  std::string name;          // short: "gunicorn: worker [shop]" or the script's name
  std::string command_line;  // arguments joined by spaces, at most 4 KiB
  std::string executable;
  std::string user;
  std::string container;  // id, or empty
  std::string python;     // "3.12.1"
  std::uint32_t python_hex = 0;
  double uptime_seconds = 0;
  std::uint32_t threads = 0;
};

// Names of MemoryPart, and the order in which they are listed.
inline constexpr const char* kPartObjects = "python objects";
inline constexpr const char* kPartPymallocFree = "pymalloc free";
inline constexpr const char* kPartMallocInUse = "malloc in use";
inline constexpr const char* kPartMallocFree = "malloc free";
inline constexpr const char* kPartStacks = "thread stacks";
inline constexpr const char* kPartFiles = "mapped files";
inline constexpr const char* kPartShared = "shared";
inline constexpr const char* kPartHugePadding = "huge page padding";
inline constexpr const char* kPartOther = "other";
inline constexpr std::array<const char*, 9> kMemoryParts{kPartObjects,    kPartPymallocFree, kPartMallocInUse,
                                                         kPartMallocFree, kPartStacks,       kPartFiles,
                                                         kPartShared,     kPartHugePadding,  kPartOther};

// Bytes of resident memory of one kind. The parts of a process are disjoint, and all of its RSS.
struct MemoryPart {
  std::string name;
  std::uint64_t bytes = 0;
};

struct MemoryTotals {
  std::uint64_t rss = 0;
  std::uint64_t pss = 0;
  std::uint64_t uss = 0;
  std::uint64_t python_objects = 0;  // what the objects say of their sizes; the part of that name is resident bytes
  std::vector<MemoryPart> parts{};   // empty: not measured
  std::string allocator{};           // whose malloc the process calls: "glibc", "jemalloc", ...; empty: not known
  std::uint64_t trimmable = 0;       // of malloc free: in whole pages, what malloc_trim(0) could return
  std::uint64_t pymalloc_arenas = 0;
  std::uint64_t pymalloc_resident = 0;  // all of the arenas' memory
  std::uint64_t native_blocks = 0;      // blocks of malloc in use that hold no Python object and belong to none
  std::uint64_t damaged = 0;            // heaps and pools that could not be followed to their end
  double parts_ms = 0;                  // what it took to find the parts
  double parts_cpu_ms = 0;

  std::uint64_t part(std::string_view name) const;  // 0 when there is none
  double accounted() const;                         // share of RSS that is not kPartOther, 0 to 1
};

// What a core file says of the process's end. Only with method "core".
struct CoreFacts {
  std::string file;
  std::int32_t signal = 0;          // that ended it; 0: none, as in a copy of a running process
  std::int32_t signal_thread = 0;   // the thread that got it
  std::uint64_t fault_address = 0;  // of SIGSEGV and its like; 0: none
  std::uint64_t bytes_cut_off = 0;
};

// How a process was tracked. `end` empty: it was not, or still is.
struct TrackingNote {
  std::string end;               // why recording ended: "the time was over"
  std::string group;             // the same in all captures of a session that followed forks; empty: it did not
  std::int32_t forked_from = 0;  // the process of the group that this one was forked from
  double overhead = -1;          // percent, the highest that was measured over seconds; negative: it was not
  std::vector<std::string> left_behind;
};

struct NamedCount {
  std::string name;
  std::uint64_t count = 0;
  std::uint64_t bytes = 0;
};

// What retains a large part of the heap: one object, or a crowd of one type that many hold. Texts are the target's.
struct Suspect {
  std::string path;           // to the object, "module shop.cart.CACHE"; empty: a crowd without a common holder
  std::string type;           // of the object, or of the crowd
  std::uint64_t address = 0;  // of the object; 0: a crowd
  std::uint64_t retained = 0;
  // What most of it is: objects of one type right below. Count 0: a chain of objects of that type, or, without a type,
  // the object itself or a mixture.
  std::string crowd_type;
  std::uint64_t crowd_count = 0;
  std::uint64_t crowd_retained = 0;
};

// Everything a report prints that is not a column.
struct SnapshotHeader {
  std::string tool_version;
  std::int64_t taken_at_ns = 0;  // since the epoch, UTC
  SnapshotKind kind = SnapshotKind::kHeap;
  StringsPolicy strings = StringsPolicy::kNames;
  std::uint32_t strings_prefix = 0;
  bool redacted = false;
  TargetInfo target;
  MemoryTotals memory;
  std::string method;  // "freeze", "stop", "read", "core"
  std::string fallback_reason;
  bool consistent = true;
  bool partial = false;
  bool during_collection = false;
  bool target_ended = false;
  double pause_ms = 0;
  double walk_ms = 0;
  double walk_cpu_ms = 0;  // memsnap's own processor time in the walk, all threads; the child's is child_cpu_ms
  double child_cpu_ms = 0;
  std::uint64_t objects = 0;
  std::uint64_t edges = 0;
  std::uint64_t bytes = 0;
  std::uint64_t unreadable = 0;
  std::uint64_t skipped = 0;  // objects whose tp_traverse failed
  std::uint64_t orphans = 0;  // objects that only C reaches
  std::uint64_t orphan_bytes = 0;
  // Blocks of malloc that hold no Python object: reached from one, and not.
  std::uint64_t native_blocks = 0;
  std::uint64_t native_bytes = 0;
  std::uint64_t unowned_blocks = 0;
  std::uint64_t unowned_bytes = 0;
  std::vector<NamedCount> skipped_types;        // blamed types: name, objects
  std::vector<NamedCount> python_sizeof_types;  // types whose __sizeof__ is Python and was not run
  // Objects with a value that another one has too, by type: how many are too many, and their bytes.
  std::vector<NamedCount> duplicates;
  std::vector<std::string> warnings;
  std::vector<Suspect> suspects;  // largest first; found when the snapshot was taken
  CoreFacts core;
  TrackingNote tracking;
};

struct Snapshot {
  SnapshotHeader header;
  HeapGraph graph;  // kTypes: only `types` and `strings` are filled; kSession: nothing
  std::optional<ThreadStacks> threads;
  std::optional<AllocationProfile> profile;  // the process was tracked
};

}  // namespace memsnap
