#include "snapshot/points/point_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <set>
#include <thread>
#include <tuple>
#include <utility>

#include "attach/base/error.h"
#include "attach/base/file_descriptor.h"
#include "snapshot/points/log_format.h"
#include "snapshot/points/log_place.h"

namespace memsnap {
namespace {

constexpr std::string_view kMagic{"SQLite format 3\0", 16};
constexpr std::chrono::milliseconds kBetweenTries{3};
constexpr std::int64_t kMostPoints = std::int64_t{1} << 40;
constexpr std::int64_t kLargestValue = std::int64_t{1} << 60;
constexpr std::int64_t kFarthestTime = std::int64_t{1} << 62;  // 146 years from the epoch, in ns

bool is_lock(int code) { return code == SQLITE_BUSY || code == SQLITE_LOCKED || code == SQLITE_PROTOCOL; }

bool is_damage(int code) {
  return code == SQLITE_CORRUPT || code == SQLITE_NOTADB || code == SQLITE_SCHEMA || code == SQLITE_MISMATCH ||
         code == SQLITE_RANGE || code == SQLITE_TOOBIG || code == SQLITE_ERROR || code == SQLITE_CONSTRAINT;
}

Error damaged(const std::string& path, const std::string& how) {
  return {ExitCode::kBadFile, fmt::format("{} is damaged: {}", path, how),
          "it was left as it is; sqlite3 FILE .recover reads what can still be read; --log begins another"};
}

Error error_of(const SqliteError& error, const std::string& path, bool writing) {
  if (is_damage(error.code())) return damaged(path, error.what());
  if (error.code() == SQLITE_NOMEM) return {ExitCode::kInternal, "out of memory", "try again when there is more"};
  if (is_lock(error.code())) {
    return {ExitCode::kCannotWrite, fmt::format("{} stayed locked by another program", path),
            "end the program that holds it, or write to another log with --log"};
  }
  if (writing) {
    return {ExitCode::kCannotWrite, fmt::format("cannot write to {}: {}", path, error.what()),
            "free some space, or choose another place with --log; the points it has are safe"};
  }
  return {ExitCode::kBadFile, fmt::format("cannot read {}: {}", path, error.what()), "check that you may read it"};
}

// Before SQLite sees it: an empty file would be a new database to it, and a FIFO would never be opened.
void require_sqlite_file(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    throw Error(ExitCode::kBadFile, fmt::format("cannot read {}: {}", path, std::strerror(errno)),
                "memsnap point PID makes a log");
  }
  std::array<char, kMagic.size()> magic{};
  const FileDescriptor file(S_ISREG(status.st_mode) ? ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1);
  if (S_ISREG(status.st_mode) && !file) {
    throw Error(ExitCode::kBadFile, fmt::format("cannot read {}: {}", path, std::strerror(errno)),
                "a log is its maker's alone: run as that user or as root, or name another with --log");
  }
  if (!file || ::pread(file.get(), magic.data(), magic.size(), 0) != static_cast<ssize_t>(magic.size()) ||
      std::string_view(magic.data(), magic.size()) != kMagic) {
    throw Error(ExitCode::kBadFile, fmt::format("{} is no log of memory points", path),
                "memsnap point PID makes one; memsnap info says what a snapshot is");
  }
}

// Undoes what was begun unless it was committed.
class Transaction {
 public:
  explicit Transaction(Database& database) : database_(database) {}
  ~Transaction() {
    if (!committed_) sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  void commit() {
    database_.run("COMMIT");
    committed_ = true;
  }

 private:
  Database& database_;
  bool committed_ = false;
};

// The number that follows one out of a file, which may hold any.
std::int64_t after(std::int64_t number) {
  if (number < 0 || number > kMostPoints) throw SqliteError(SQLITE_CORRUPT, "its points are numbered wrong");
  return number + 1;
}

std::optional<std::int64_t> as_signed(const std::optional<std::uint64_t>& value) {
  if (!value) return std::nullopt;
  return static_cast<std::int64_t>(*value);
}

std::optional<std::int64_t> optional_number(const Statement& row, int column) {
  if (row.is_null(column)) return std::nullopt;
  return row.number(column);
}

std::uint64_t size_at(const Statement& row, int column) {
  const std::int64_t value = row.number(column);
  if (value < 0 || value > kLargestValue) throw SqliteError(SQLITE_CORRUPT, "a size is out of all bounds");
  return static_cast<std::uint64_t>(value);
}

MemoryPoint point_at(const Statement& row) {
  MemoryPoint point;
  point.sequence = row.number(0);
  point.process.host = row.text(1);
  point.process.boot = row.text(2);
  point.process.pid = static_cast<std::int32_t>(row.number(3));
  point.process.start_time = size_at(row, 4);
  point.name = row.text(5);
  point.id = row.text(6);
  point.asked = row.text(7);
  point.memory.time_ns = row.number(8);
  if (std::abs(std::clamp(point.memory.time_ns, -kFarthestTime, kFarthestTime)) == kFarthestTime) {
    throw SqliteError(SQLITE_CORRUPT, "a time is out of all bounds");
  }
  point.memory.rss = size_at(row, 9);
  point.memory.pss = size_at(row, 10);
  point.memory.uss = size_at(row, 11);
  if (!row.is_null(12)) point.memory.object_bytes = size_at(row, 12);
  if (!row.is_null(13)) point.memory.objects = size_at(row, 13);
  point.memory.pause_ns = optional_number(row, 14);
  point.note = row.text(15);
  point.repeat = row.number(16);
  return point;
}

}  // namespace

PointLog::PointLog(std::string path, Database database, PointLogOptions options)
    : path_(std::move(path)), database_(std::move(database)), options_(std::move(options)) {}

PointLog PointLog::for_writing(const std::string& path, const PointLogOptions& options) {
  const LockPatience patience{options.patience, options.cancelled};
  const LockWait wait(patience);
  struct stat status {};
  if (::lstat(path.c_str(), &status) != 0 && errno == ENOENT) make_log(path);
  require_sqlite_file(path);
  const std::string place = place_of_log(path);
  require_own_side_files(place);
  for (;;) {
    try {
      PointLog log(path, Database(place, DatabaseMode::kWrite, patience), options);
      // A point is safe when the command has ended, also if the machine ends right after it.
      log.database_.run("PRAGMA synchronous = FULL");
      log.check_format();
      require_own_side_files(place);  // what was put there meanwhile has been read
      return log;
    } catch (const SqliteError& error) {
      // Some locks of the first and the last user of a file do not ask the handler of SQLite.
      if (!is_lock(error.code()) || wait.is_over()) throw error_of(error, path, true);
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
}

PointLog PointLog::for_reading(const std::string& path, const PointLogOptions& options) {
  require_sqlite_file(path);
  const std::string place = place_of_log(path);
  require_own_side_files(place);
  const LockPatience patience{options.patience, options.cancelled};
  const LockWait wait(patience);
  bool unchanging = false;
  for (;;) {
    try {
      const DatabaseMode mode = unchanging ? DatabaseMode::kReadUnchanging : DatabaseMode::kRead;
      PointLog log(path, Database(place, mode, patience), options);
      log.check_format();
      require_own_side_files(place);
      return log;
    } catch (const SqliteError& error) {
      // A folder that may not be written: fine, as long as no writer left something beside the file.
      const bool may_not_write = error.code() == SQLITE_CANTOPEN || error.code() == SQLITE_READONLY;
      if (may_not_write && !unchanging && ::access((place + "-wal").c_str(), F_OK) != 0) {
        unchanging = true;
        continue;
      }
      if (!is_lock(error.code()) || wait.is_over()) throw error_of(error, path, false);
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
}

void PointLog::check_format() {
  if (database_.number_of("PRAGMA application_id") != kLogApplication) {
    throw Error(ExitCode::kBadFile, fmt::format("{} is an SQLite file, but no log of memory points", path_),
                "memsnap point PID makes one");
  }
  const std::int64_t version = database_.number_of("PRAGMA user_version");
  if (version > kLogVersion) {
    throw Error(
        ExitCode::kBadFile,
        fmt::format("{} is from a newer memsnap: format {}, and this one knows {}", path_, version, kLogVersion),
        "use the newer memsnap; --log begins another log");
  }
  std::set<std::string> found;
  Statement schema(database_, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL");
  while (schema.step()) found.insert(schema.text(0));
  if (version < 1 || found != std::set<std::string>(kLogSchema.begin(), kLogSchema.end())) {
    throw damaged(path_, "its tables are not those of a log");
  }
}

void PointLog::begin() {
  const LockWait wait({options_.patience, options_.cancelled});
  for (;;) {
    try {
      return database_.run("BEGIN IMMEDIATE");
    } catch (const SqliteError& error) {
      if (!is_lock(error.code())) throw;
      if (options_.cancelled && options_.cancelled()) throw Error(ExitCode::kGaveUp, "cancelled", "");
      if (wait.is_over()) throw;
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
}

std::vector<MemoryPoint> PointLog::append(const PointToMake& point) {
  require_point_id(point.id);
  std::vector<MemoryPoint> made;
  try {
    begin();
    Transaction transaction(database_);
    const MeasuredMemory memory = point.measure();
    const std::int64_t process = process_number(point);
    if (point.first_id && !has_points(process)) {
      made.push_back(add(process, point, *point.first_id, memory));
    }
    made.push_back(add(process, point, point.id, memory));
    transaction.commit();
  } catch (const SqliteError& error) {
    throw error_of(error, path_, true);
  }
  return made;
}

std::int64_t PointLog::process_number(const PointToMake& point) {
  const ProcessKey& key = point.process;
  const auto start = static_cast<std::int64_t>(key.start_time);
  Statement known(database_, "SELECT process FROM process WHERE host = ? AND boot = ? AND pid = ? AND start_time = ?");
  known.bind(1, key.host).bind(2, key.boot).bind(3, std::int64_t{key.pid}).bind(4, start);
  if (known.step()) return known.number(0);
  Statement insert(database_, "INSERT INTO process (host, boot, pid, start_time, name) VALUES (?, ?, ?, ?, ?)");
  insert.bind(1, key.host).bind(2, key.boot).bind(3, std::int64_t{key.pid}).bind(4, start).bind(5, point.name);
  insert.step();
  return sqlite3_last_insert_rowid(database_.get());
}

bool PointLog::has_points(std::int64_t process) {
  Statement any(database_, "SELECT 1 FROM point WHERE process = ? LIMIT 1");
  return any.bind(1, process).step();
}

// The id with the first number that is free, and that number; 1: the id as it was asked for.
std::pair<std::string, std::int64_t> PointLog::free_id(std::int64_t process, const std::string& asked) {
  Statement last(database_, "SELECT coalesce(max(repeat), 0) FROM point WHERE process = ? AND asked = ?");
  last.bind(1, process).bind(2, asked);
  std::int64_t number = after(last.step() ? last.number(0) : 0);
  for (;; ++number) {
    std::string id = number == 1 ? asked : fmt::format("{}-{}", asked, number);
    Statement taken(database_, "SELECT 1 FROM point WHERE process = ? AND id = ?");
    taken.bind(1, process).bind(2, id);
    if (!taken.step()) return {std::move(id), number};
  }
}

MemoryPoint PointLog::add(std::int64_t process, const PointToMake& point, const std::string& asked,
                          const MeasuredMemory& memory) {
  MemoryPoint made;
  made.sequence = after(database_.number_of("SELECT coalesce(max(sequence), 0) FROM point"));
  made.process = point.process;
  Statement name(database_, "SELECT name FROM process WHERE process = ?");
  made.name = name.bind(1, process).step() ? name.text(0) : point.name;
  made.asked = asked;
  std::tie(made.id, made.repeat) = free_id(process, asked);
  made.memory = memory;
  made.note = asked == point.id ? point.note.substr(0, kLongestNote) : "";
  Statement row(database_,
                "INSERT INTO point (sequence, process, id, asked, repeat, time_ns, rss, pss, uss, object_bytes, "
                "objects, pause_ns, note, crc) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  row.bind(1, made.sequence).bind(2, process).bind(3, made.id).bind(4, made.asked).bind(5, made.repeat);
  row.bind(6, memory.time_ns).bind(7, static_cast<std::int64_t>(memory.rss));
  row.bind(8, static_cast<std::int64_t>(memory.pss)).bind(9, static_cast<std::int64_t>(memory.uss));
  row.bind(10, as_signed(memory.object_bytes)).bind(11, as_signed(memory.objects)).bind(12, memory.pause_ns);
  row.bind(13, made.note).bind(14, std::int64_t{checksum_of(made)});
  row.step();
  return made;
}

std::vector<MemoryPoint> PointLog::points_after(std::int64_t sequence) {
  std::vector<MemoryPoint> points;
  try {
    // The rows by their place in the table, not by an index that a damaged file may have wrong.
    Statement row(
        database_,
        "SELECT sequence, host, boot, pid, start_time, name, id, asked, time_ns, rss, pss, uss, object_bytes, "
        "objects, pause_ns, note, repeat, crc FROM point LEFT JOIN process ON process.process = +point.process "
        "WHERE sequence > ? ORDER BY sequence");
    row.bind(1, sequence);
    while (row.step()) {
      points.push_back(point_at(row));
      const MemoryPoint& point = points.back();
      if (row.number(17) != std::int64_t{checksum_of(point)}) {
        throw SqliteError(SQLITE_CORRUPT, fmt::format("point {} is not as it was written", point.sequence));
      }
      const std::int64_t expected = sequence + static_cast<std::int64_t>(points.size());
      if (point.sequence != expected) throw SqliteError(SQLITE_CORRUPT, fmt::format("point {} is missing", expected));
    }
  } catch (const SqliteError& error) {
    throw error_of(error, path_, false);
  }
  return points;
}

void require_point_id(std::string_view id) {
  const bool one_line = id.find_first_of(std::string_view("\n\r\0", 3)) == std::string_view::npos;
  if (one_line && id.size() <= kLongestPointId) return;
  throw Error(ExitCode::kUsage,
              one_line ? fmt::format("the id of a point has {} bytes at most", kLongestPointId)
                       : "the id of a point is one line",
              "without one it is None");
}

}  // namespace memsnap
