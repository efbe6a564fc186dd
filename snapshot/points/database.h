#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace memsnap {

// What SQLite says when a call fails; point_log.cpp turns it into an Error.
class SqliteError : public std::runtime_error {
 public:
  SqliteError(int code, const std::string& what) : std::runtime_error(what), code_(code) {}
  int code() const noexcept { return code_ & 0xff; }  // without the extended part

 private:
  int code_;
};

enum class DatabaseMode { kRead, kReadUnchanging, kWrite };

// How long one wait for other writers may take, and who may end it.
struct LockPatience {
  std::chrono::milliseconds longest{0};
  std::function<bool()> cancelled;
};

class LockWait {
 public:
  explicit LockWait(LockPatience patience) : patience_(std::move(patience)) { begin(); }
  void begin() { deadline_ = std::chrono::steady_clock::now() + patience_.longest; }
  bool is_over() const;

 private:
  LockPatience patience_;
  std::chrono::steady_clock::time_point deadline_;
};

// An open SQLite file that is not trusted: no views, triggers or functions of its own are run, values are bounded.
class Database {
 public:
  // kReadUnchanging: nobody writes, as in a folder that may not be written. Throws SqliteError.
  Database(const std::string& path, DatabaseMode mode, const LockPatience& patience);
  ~Database() = default;
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  Database(Database&&) noexcept = default;
  Database& operator=(Database&&) noexcept = default;

  void run(const std::string& sql);                   // without results
  std::int64_t number_of(const std::string& pragma);  // the one number a statement gives
  std::string text_of(const std::string& statement);
  sqlite3* get() const { return handle_.get(); }

 private:
  struct Close {
    void operator()(sqlite3* handle) const { sqlite3_close_v2(handle); }
  };
  static int wait_for_lock(void* wait, int times);

  std::unique_ptr<LockWait> wait_;  // SQLite keeps its address
  std::unique_ptr<sqlite3, Close> handle_;
};

// A prepared statement. Parameters are numbered from 1, columns from 0.
class Statement {
 public:
  Statement(Database& database, std::string_view sql);

  Statement& bind(int index, std::int64_t value);
  Statement& bind(int index, const std::optional<std::int64_t>& value);
  Statement& bind(int index, std::string_view value);
  bool step();  // false: no further row

  bool is_null(int column) const { return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL; }
  // Throw SqliteError for a value of another type: a file may hold anything.
  std::int64_t number(int column) const;
  std::string text(int column) const;

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* handle) const { sqlite3_finalize(handle); }
  };
  void check(int code) const;

  sqlite3* database_;
  std::unique_ptr<sqlite3_stmt, Finalize> handle_;
};

}  // namespace memsnap
