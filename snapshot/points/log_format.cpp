#include "snapshot/points/log_format.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <memory>
#include <span>
#include <utility>

#include "attach/base/error.h"
#include "snapshot/store/crc32c.h"
#include "snapshot/store/output_file.h"

namespace memsnap {
namespace {

constexpr std::size_t kWriteVersion = 18;  // in the header of an SQLite file
constexpr std::size_t kReadVersion = 19;
constexpr std::uint8_t kWriteAheadLog = 2;

// The bytes of an empty log. Made in memory, which cannot be in WAL mode: the header says so afterwards.
std::vector<std::uint8_t> empty_log() {
  Database database(":memory:", DatabaseMode::kWrite, {});
  database.run(fmt::format("PRAGMA application_id = {}", kLogApplication));
  database.run(fmt::format("PRAGMA user_version = {}", kLogVersion));
  for (const std::string_view sql : kLogSchema) database.run(std::string(sql));
  sqlite3_int64 size = 0;
  const std::unique_ptr<unsigned char, void (*)(void*)> bytes(sqlite3_serialize(database.get(), "main", &size, 0),
                                                              sqlite3_free);
  if (!bytes) throw SqliteError(SQLITE_NOMEM, "out of memory");
  std::vector<std::uint8_t> log(bytes.get(), bytes.get() + size);
  log.at(kWriteVersion) = kWriteAheadLog;
  log.at(kReadVersion) = kWriteAheadLog;
  return log;
}

bool exists(const std::string& path) {
  struct stat status {};
  return ::lstat(path.c_str(), &status) == 0;
}

std::string number_or_nothing(const std::optional<std::uint64_t>& value) {
  return value ? fmt::to_string(*value) : "-";
}

}  // namespace

void make_log(const std::string& path) {
  const std::vector<std::uint8_t> bytes = empty_log();
  try {
    OutputFile file(path, false);
    file.append(bytes);
    file.commit();
  } catch (const Error& error) {
    if (exists(path)) return;
    throw Error(error.code(), error.what(), "name a log in a folder that you may write to, with --log");
  }
}

std::uint32_t checksum_of(const MemoryPoint& point) {
  const MeasuredMemory& memory = point.memory;
  std::string all = fmt::format("{}\n{}\n{}\n{}\n{}\n", point.sequence, point.process.boot, point.process.pid,
                                point.process.start_time, point.repeat);
  all += fmt::format("{}\n{}\n{}\n{}\n{}\n{}\n{}\n", memory.time_ns, memory.rss, memory.pss, memory.uss,
                     number_or_nothing(memory.object_bytes), number_or_nothing(memory.objects),
                     memory.pause_ns ? fmt::to_string(*memory.pause_ns) : "-");
  for (const std::string* text : {&point.process.host, &point.name, &point.id, &point.asked, &point.note}) {
    all += fmt::format("{}:{}\n", text->size(), *text);
  }
  return crc32c({reinterpret_cast<const std::uint8_t*>(all.data()), all.size()});
}

}  // namespace memsnap
