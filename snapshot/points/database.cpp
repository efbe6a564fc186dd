#include "snapshot/points/database.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <random>
#include <thread>

namespace memsnap {
namespace {

constexpr int kLongestValue = 1 << 20;
constexpr int kMaxColumns = 64;
constexpr int kLongestWaitMs = 20;

// SQLite reads ?, # and % in the name of a file that is given as a URI.
std::string unchanging_uri(const std::string& path) {
  std::string uri = "file:";
  for (const char c : path) {
    if (c == '?' || c == '#' || c == '%') {
      uri += fmt::format("%{:02x}", static_cast<unsigned char>(c));
    } else {
      uri += c;
    }
  }
  return uri + "?immutable=1";
}

// A reader opens for writing too where it may: else the files that SQLite keeps beside one in use would stay.
int flags_of(DatabaseMode mode) {
  constexpr int kAlways = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_NOFOLLOW;
  return kAlways |
         (mode == DatabaseMode::kReadUnchanging ? SQLITE_OPEN_READONLY | SQLITE_OPEN_URI : SQLITE_OPEN_READWRITE);
}

}  // namespace

bool LockWait::is_over() const {
  return std::chrono::steady_clock::now() >= deadline_ || (patience_.cancelled && patience_.cancelled());
}

int Database::wait_for_lock(void* wait, int times) {
  auto* const own = static_cast<LockWait*>(wait);
  if (times == 0) own->begin();
  if (own->is_over()) return 0;
  // Different for each writer, or a hundred of them would come back at the same moment.
  thread_local std::minstd_rand random(static_cast<unsigned>(::getpid()));
  const int longest = std::min(kLongestWaitMs, 2 + times);
  std::this_thread::sleep_for(
      std::chrono::milliseconds(1 + static_cast<int>(random() % static_cast<unsigned>(longest))));
  return 1;
}

Database::Database(const std::string& path, DatabaseMode mode, const LockPatience& patience)
    : wait_(std::make_unique<LockWait>(patience)) {
  sqlite3* handle = nullptr;
  const std::string name = mode == DatabaseMode::kReadUnchanging ? unchanging_uri(path) : path;
  const int code = sqlite3_open_v2(name.c_str(), &handle, flags_of(mode), nullptr);
  handle_.reset(handle);
  if (code != SQLITE_OK) throw SqliteError(code, sqlite3_errstr(code));
  sqlite3_busy_handler(handle, &Database::wait_for_lock, wait_.get());
  sqlite3_limit(handle, SQLITE_LIMIT_LENGTH, kLongestValue);
  sqlite3_limit(handle, SQLITE_LIMIT_COLUMN, kMaxColumns);
  sqlite3_limit(handle, SQLITE_LIMIT_ATTACHED, 0);
  for (const int trust : {SQLITE_DBCONFIG_ENABLE_TRIGGER, SQLITE_DBCONFIG_ENABLE_VIEW, SQLITE_DBCONFIG_TRUSTED_SCHEMA,
                          SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION}) {
    sqlite3_db_config(handle, trust, 0, nullptr);
  }
  sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  run("PRAGMA temp_store = MEMORY");  // no file where SQLITE_TMPDIR or TMPDIR say
  if (mode != DatabaseMode::kWrite) run("PRAGMA query_only = ON");
}

void Database::run(const std::string& sql) {
  const int code = sqlite3_exec(get(), sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) throw SqliteError(code, sqlite3_errmsg(get()));
}

std::int64_t Database::number_of(const std::string& pragma) {
  Statement statement(*this, pragma);
  return statement.step() ? statement.number(0) : 0;
}

std::string Database::text_of(const std::string& sql) {
  Statement statement(*this, sql);
  return statement.step() ? statement.text(0) : "";
}

Statement::Statement(Database& database, std::string_view sql) : database_(database.get()) {
  sqlite3_stmt* handle = nullptr;
  const int code = sqlite3_prepare_v2(database_, sql.data(), static_cast<int>(sql.size()), &handle, nullptr);
  handle_.reset(handle);
  check(code);
}

void Statement::check(int code) const {
  if (code != SQLITE_OK) throw SqliteError(code, sqlite3_errmsg(database_));
}

Statement& Statement::bind(int index, std::int64_t value) {
  check(sqlite3_bind_int64(handle_.get(), index, value));
  return *this;
}

Statement& Statement::bind(int index, const std::optional<std::int64_t>& value) {
  if (value) return bind(index, *value);
  check(sqlite3_bind_null(handle_.get(), index));
  return *this;
}

Statement& Statement::bind(int index, std::string_view value) {
  check(sqlite3_bind_text(handle_.get(), index, value.data(), static_cast<int>(value.size()), SQLITE_TRANSIENT));
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(handle_.get());
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) throw SqliteError(code, sqlite3_errmsg(database_));
  return false;
}

std::int64_t Statement::number(int column) const {
  if (sqlite3_column_type(handle_.get(), column) != SQLITE_INTEGER) {
    throw SqliteError(SQLITE_CORRUPT, "a value that should be a number is none");
  }
  return sqlite3_column_int64(handle_.get(), column);
}

std::string Statement::text(int column) const {
  if (sqlite3_column_type(handle_.get(), column) != SQLITE_TEXT) {
    throw SqliteError(SQLITE_CORRUPT, "a value that should be a text is none");
  }
  const auto* const bytes = static_cast<const char*>(sqlite3_column_blob(handle_.get(), column));
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(handle_.get(), column));
  return bytes == nullptr ? std::string() : std::string(bytes, size);
}

}  // namespace memsnap
