#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "snapshot/model/memory_point.h"
#include "snapshot/points/database.h"

namespace memsnap {

inline constexpr std::string_view kLogExtension = ".points";
inline constexpr std::size_t kLongestPointId = 1000;
inline constexpr std::size_t kLongestNote = 10000;

// A point to be made. `measure` is called once, while no other writer can come between: the order of a log is the
// order in which its points were measured.
struct PointToMake {
  ProcessKey process;
  std::string name;                     // of the process
  std::string id = "None";              // an id that is taken becomes id-2, id-3
  std::optional<std::string> first_id;  // of a point that is made before, when the log has none of this process
  std::string note;
  std::function<MeasuredMemory()> measure;
};

struct PointLogOptions {
  std::chrono::milliseconds patience{std::chrono::minutes(5)};  // for other writers
  std::function<bool()> cancelled;                              // ends such a wait; empty: never
};

// A log of memory points: an SQLite file to which points are added and of which nothing else is ever changed. Many
// processes may add at once. A point is there whole or not at all, whenever its writer ends.
class PointLog {
 public:
  // Makes the log (0600) when there is none. Throws Error: kCannotWrite; kBadFile for what is no log, a damaged one, or
  // one of a newer memsnap, which are left as they are.
  static PointLog for_writing(const std::string& path, const PointLogOptions& options);
  static PointLog for_reading(const std::string& path, const PointLogOptions& options = {});  // throws Error kBadFile

  // The points that were made: one, or two with the first of a process. Throws Error, then nothing was added.
  std::vector<MemoryPoint> append(const PointToMake& point);

  // In the order in which they were made, those after `sequence`. Throws Error kBadFile: what is not as it was written
  // is not shown as if it were.
  std::vector<MemoryPoint> points_after(std::int64_t sequence);
  std::vector<MemoryPoint> points() { return points_after(0); }

  const std::string& path() const { return path_; }

 private:
  PointLog(std::string path, Database database, PointLogOptions options);
  void check_format();
  void begin();
  MemoryPoint add(std::int64_t process, const PointToMake& point, const std::string& asked,
                  const MeasuredMemory& memory);
  std::int64_t process_number(const PointToMake& point);
  bool has_points(std::int64_t process);
  std::pair<std::string, std::int64_t> free_id(std::int64_t process, const std::string& asked);

  std::string path_;
  Database database_;
  PointLogOptions options_;
};

// Throws Error kUsage: too long, of several lines, or with a NUL.
void require_point_id(std::string_view id);

}  // namespace memsnap
