#include "snapshot/points/point_log.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <thread>

#include "attach/base/error.h"
#include "snapshot/points/log_format.h"

namespace memsnap {
namespace {

namespace fs = std::filesystem;

class PointLogTest : public testing::Test {
 protected:
  PointLogTest() : folder_(fs::temp_directory_path() / fmt::format("memsnap-points-{}", ::getpid())) {
    fs::create_directories(folder_);
  }
  ~PointLogTest() override { fs::remove_all(folder_); }
  PointLogTest(const PointLogTest&) = delete;
  PointLogTest& operator=(const PointLogTest&) = delete;

  std::string path() const { return folder_ / "a.points"; }
  PointLog writer() const { return PointLog::for_writing(path(), {}); }
  std::vector<MemoryPoint> all() const { return PointLog::for_reading(path()).points(); }

  static PointToMake point(const std::string& id, std::uint64_t rss = 1000, std::int32_t pid = 42) {
    PointToMake made;
    made.process = {"host", "boot", pid, 7};
    made.name = "shop.py";
    made.id = id;
    made.measure = [rss] {
      MeasuredMemory memory;
      memory.time_ns = 5;
      memory.rss = rss;
      return memory;
    };
    return made;
  }

  static std::vector<std::string> ids(const std::vector<MemoryPoint>& points) {
    std::vector<std::string> ids;
    for (const MemoryPoint& one : points) ids.push_back(one.id);
    return ids;
  }

  ExitCode code_of_reading() const {
    try {
      all();
    } catch (const Error& error) {
      return error.code();
    }
    return ExitCode::kDone;
  }
  ExitCode code_of_writing() const {
    try {
      writer().append(point("more"));
    } catch (const Error& error) {
      return error.code();
    }
    return ExitCode::kDone;
  }

  std::string bytes() const {
    std::ifstream file(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  void write(const std::string& bytes) const { std::ofstream(path(), std::ios::binary) << bytes; }

  fs::path folder_;
};

TEST_F(PointLogTest, PointsComeBackAsTheyWereMade) {
  PointToMake made = point("after warm-up");
  made.note = "a note";
  made.measure = [] {
    return MeasuredMemory{
        .time_ns = -3, .rss = 30, .pss = 20, .uss = 10, .object_bytes = 5, .objects = 2, .pause_ns = 9};
  };

  writer().append(made);
  const MemoryPoint read = all().at(0);

  EXPECT_EQ(read.sequence, 1);
  EXPECT_EQ(read.process, made.process);
  EXPECT_EQ(read.name, "shop.py");
  EXPECT_EQ(read.id, "after warm-up");
  EXPECT_EQ(read.note, "a note");
  EXPECT_EQ(read.memory.time_ns, -3);
  EXPECT_EQ(read.memory.rss, 30u);
  EXPECT_EQ(read.memory.pss, 20u);
  EXPECT_EQ(read.memory.uss, 10u);
  EXPECT_EQ(read.memory.object_bytes, 5u);
  EXPECT_EQ(read.memory.objects, 2u);
  EXPECT_EQ(read.memory.pause_ns, 9);
}

TEST_F(PointLogTest, WhatWasNotCountedIsNotZero) {
  writer().append(point("a"));

  EXPECT_FALSE(all().at(0).memory.object_bytes);
  EXPECT_FALSE(all().at(0).memory.pause_ns);
}

TEST_F(PointLogTest, AnIdThatIsTakenGetsTheNextFreeNumber) {
  PointLog log = writer();
  for (const char* id : {"None", "None", "x", "None-3", "None", "None", "x"}) log.append(point(id));

  EXPECT_EQ(ids(log.points()), (std::vector<std::string>{"None", "None-2", "x", "None-3", "None-4", "None-5", "x-2"}));
}

TEST_F(PointLogTest, IdsAreOfOneProcess) {
  PointLog log = writer();
  log.append(point("x", 1, 42));
  log.append(point("x", 1, 43));
  PointToMake again = point("x", 1, 42);  // the pid, used again
  again.process.start_time = 8;
  log.append(again);

  EXPECT_EQ(ids(log.points()), (std::vector<std::string>{"x", "x", "x"}));
}

TEST_F(PointLogTest, TheFirstPointOfAProcessIsMadeByItself) {
  PointLog log = writer();
  PointToMake made = point("x", 123);
  made.first_id = "memsnap attach";

  const auto first = log.append(made);
  log.append(made);

  EXPECT_EQ(first.size(), 2u);
  EXPECT_EQ(first[0].memory.rss, 123u);
  EXPECT_EQ(ids(log.points()), (std::vector<std::string>{"memsnap attach", "x", "x-2"}));
}

TEST_F(PointLogTest, OrderIsThatOfTheMakingWhateverTheClockSays) {
  PointLog log = writer();
  for (const std::int64_t time : {300, 200, 100}) {
    PointToMake made = point(fmt::to_string(time));
    made.measure = [time] {
      MeasuredMemory memory;
      memory.time_ns = time;
      return memory;
    };
    log.append(made);
  }

  EXPECT_EQ(ids(log.points()), (std::vector<std::string>{"300", "200", "100"}));
}

TEST_F(PointLogTest, AFailedMeasureAddsNothing) {
  PointLog log = writer();
  PointToMake made = point("x");
  made.first_id = "memsnap attach";
  made.measure = []() -> MeasuredMemory { throw Error(ExitCode::kNoSuchProcess, "it ended", ""); };

  EXPECT_THROW(log.append(made), Error);
  log.append(point("y"));
  EXPECT_EQ(ids(log.points()), (std::vector<std::string>{"y"}));
}

TEST_F(PointLogTest, ALogIsItsOwnersAlone) {
  writer();

  struct stat status {};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600u);
}

TEST_F(PointLogTest, WritersWaitForEachOther) {
  constexpr int kWriters = 8;
  constexpr int kPoints = 20;
  std::vector<std::thread> writers;
  for (int w = 0; w < kWriters; ++w) {
    writers.emplace_back([this, w] {
      for (int i = 0; i < kPoints; ++i) writer().append(point(fmt::format("{}/{}", w, i)));
    });
  }
  for (std::thread& one : writers) one.join();

  const auto found = ids(all());
  EXPECT_EQ(found.size(), std::size_t{kWriters * kPoints});
  EXPECT_EQ(std::set(found.begin(), found.end()).size(), found.size());
}

TEST_F(PointLogTest, AReaderSeesWhatWasAddedSince) {
  PointLog log = writer();
  log.append(point("a"));
  PointLog reader = PointLog::for_reading(path());
  EXPECT_EQ(reader.points_after(0).size(), 1u);

  log.append(point("b"));

  EXPECT_EQ(ids(reader.points_after(1)), (std::vector<std::string>{"b"}));
  EXPECT_TRUE(reader.points_after(2).empty());
}

TEST_F(PointLogTest, IdsAreOneLine) {
  for (const std::string& id :
       {std::string("a\nb"), std::string("a\r"), std::string("a\0b", 3), std::string(kLongestPointId + 1, 'x')}) {
    EXPECT_THROW(require_point_id(id), Error);
  }
  EXPECT_NO_THROW(require_point_id("Before f() \xe2\x86\x92"));
}

TEST_F(PointLogTest, WhatIsNoLogIsLeftAsItIs) {
  for (const std::string& text : {std::string(), std::string("text\n"), std::string("SQLite format 3"),
                                  std::string("SQLite format 3\0", 16), std::string(4096, '\0')}) {
    write(text);
    EXPECT_EQ(code_of_reading(), ExitCode::kBadFile);
    EXPECT_EQ(code_of_writing(), ExitCode::kBadFile);
    EXPECT_EQ(bytes(), text);
  }
}

TEST_F(PointLogTest, ALogOfANewerVersionIsRefusedAndLeftAsItIs) {
  writer().append(point("a"));
  {
    Database database(path(), DatabaseMode::kWrite, {});
    database.run(fmt::format("PRAGMA user_version = {}", kLogVersion + 1));
  }
  const std::string before = bytes();

  EXPECT_EQ(code_of_reading(), ExitCode::kBadFile);
  EXPECT_EQ(code_of_writing(), ExitCode::kBadFile);
  EXPECT_EQ(bytes(), before);
}

TEST_F(PointLogTest, ADatabaseOfSomebodyElseIsRefused) {
  {
    std::ofstream(path(), std::ios::binary);
    Database database(path(), DatabaseMode::kWrite, {});
    database.run("CREATE TABLE point (id)");
  }

  EXPECT_EQ(code_of_reading(), ExitCode::kBadFile);
  EXPECT_EQ(code_of_writing(), ExitCode::kBadFile);
}

TEST_F(PointLogTest, TablesWithMoreInThemAreRefused) {
  for (const char* sql : {"CREATE TRIGGER t AFTER INSERT ON point BEGIN DELETE FROM point; END",
                          "CREATE VIEW v AS SELECT 1", "ALTER TABLE point ADD COLUMN more"}) {
    fs::remove(path());
    writer().append(point("a"));
    {
      Database database(path(), DatabaseMode::kWrite, {});
      database.run(sql);
    }
    EXPECT_EQ(code_of_reading(), ExitCode::kBadFile) << sql;
    EXPECT_EQ(code_of_writing(), ExitCode::kBadFile) << sql;
  }
}

TEST_F(PointLogTest, APointThatWasChangedIsFound) {
  writer().append(point("a"));
  for (const char* sql :
       {"UPDATE point SET rss = 1", "UPDATE point SET id = 'b'", "UPDATE point SET repeat = 7",
        "UPDATE process SET pid = 1", "UPDATE point SET rss = -1", "UPDATE point SET time_ns = 'soon'",
        "UPDATE point SET sequence = 9223372036854775807", "DELETE FROM process"}) {
    const std::string before = bytes();
    {
      Database database(path(), DatabaseMode::kWrite, {});
      database.run(sql);
    }
    EXPECT_EQ(code_of_reading(), ExitCode::kBadFile) << sql;
    write(before);
  }
}

TEST_F(PointLogTest, AMissingPointIsFound) {
  PointLog log = writer();
  for (const char* id : {"a", "b", "c"}) log.append(point(id));
  Database(path(), DatabaseMode::kWrite, {}).run("DELETE FROM point WHERE id = 'b'");

  EXPECT_EQ(code_of_reading(), ExitCode::kBadFile);
}

TEST_F(PointLogTest, NoChangedByteIsTakenForWhatWasWritten) {
  {
    PointLog log = writer();
    for (int i = 0; i < 30; ++i) log.append(point(fmt::format("point {}", i), 1000 + static_cast<std::uint64_t>(i)));
  }
  const std::string whole = bytes();
  const auto expected = ids(all());
  for (std::size_t at = 0; at < whole.size(); at += 61) {
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 0x20);
    write(changed);
    try {
      EXPECT_EQ(ids(all()), expected) << at;  // a byte that nothing depends on
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kBadFile) << at << error.what();
    }
    fs::remove(path() + "-wal");
    fs::remove(path() + "-shm");
  }
}

TEST_F(PointLogTest, ACutLogIsFound) {
  {
    PointLog log = writer();
    for (int i = 0; i < 100; ++i) log.append(point(fmt::format("point {}", i)));
  }
  const std::string whole = bytes();
  for (const std::size_t size : {whole.size() - 1, whole.size() / 2, std::size_t{4096}, std::size_t{100}}) {
    write(whole.substr(0, size));
    EXPECT_EQ(code_of_reading(), ExitCode::kBadFile) << size;
  }
}

}  // namespace
}  // namespace memsnap
