#include "snapshot/points/point_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "attach/base/error.h"
#include "snapshot/points/database.h"
#include "snapshot/points/log_format.h"
#include "tests/fuzz/fuzz_input.h"

namespace memsnap {
namespace {

namespace fs = std::filesystem;

// In memory where there is such a place, removed at the end.
class Folder {
 public:
  Folder() {
    std::string name = ::access("/dev/shm", W_OK) == 0 ? "/dev/shm/memsnap-fuzz.XXXXXX" : "/tmp/memsnap-fuzz.XXXXXX";
    require(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string file() const { return path_ / "a.points"; }
  void clear() const {
    for (const char* end : {"", "-wal", "-shm", "-journal"}) ::unlink((file() + end).c_str());
  }

 private:
  fs::path path_;
};

void put_file(const std::string& path, std::span<const std::uint8_t> bytes) {
  const FileDescriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
  require(::write(file.get(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
}

// A value of any of SQLite's types.
void bind_value(Statement& row, int index, FuzzInput& input) {
  const auto kind = input.take<std::uint8_t>();
  if (kind % 4 == 0) {
    row.bind(index, input.take<std::int64_t>());
  } else if (kind % 4 == 1) {
    const auto bytes = input.take_bytes(kind / 4);
    row.bind(index, std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
  } else if (kind % 4 == 2) {
    row.bind(index, std::int64_t{kind / 4});
  } else {
    row.bind(index, std::optional<std::int64_t>());
  }
}

// A log as SQLite would have it, with any values.
void put_rows(const std::string& path, FuzzInput& input) {
  make_log(path);
  Database database(path, DatabaseMode::kWrite, {});
  while (!input.empty()) {
    try {
      if (input.take<std::uint8_t>() % 2 == 0) {
        Statement process(database, "INSERT INTO process VALUES (?, ?, ?, ?, ?, ?)");
        for (int i = 1; i <= 6; ++i) bind_value(process, i, input);
        process.step();
      } else {
        Statement point(database, "INSERT INTO point VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
        for (int i = 1; i <= 14; ++i) bind_value(point, i, input);
        point.step();
      }
    } catch (const SqliteError&) {
      continue;  // not what the columns take
    }
  }
}

void read_and_append(const std::string& path) {
  PointLogOptions options;
  options.patience = std::chrono::milliseconds(50);
  try {
    (void)PointLog::for_reading(path, options).points();
  } catch (const Error& error) {
    require(error.code() != ExitCode::kInternal);
  }
  try {
    PointToMake point;
    point.process = {"host", "boot", 42, 7};
    point.first_id = "Process Start";
    point.measure = [] { return MeasuredMemory{}; };
    (void)PointLog::for_writing(path, options).append(point);
  } catch (const Error& error) {
    require(error.code() != ExitCode::kInternal);
  }
}

}  // namespace
}  // namespace memsnap

// A log of memory points: kind, then the whole file, or the values of its rows.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const memsnap::Folder folder;
  memsnap::FuzzInput input(data, size);
  folder.clear();
  if (input.take<std::uint8_t>() % 2 == 0) {
    memsnap::put_file(folder.file(), input.rest());
  } else {
    memsnap::put_rows(folder.file(), input);
  }
  memsnap::read_and_append(folder.file());
  return 0;
}
