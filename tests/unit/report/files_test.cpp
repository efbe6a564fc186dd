#include "report/cli/files.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "attach/base/error.h"

namespace memsnap {
namespace {

namespace fs = std::filesystem;

const NameParts kParts{4242, "gunicorn: worker [shop]", "web-3", 1795227304'000'000'000, "", "heap"};

class FilesTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "memsnap_files_XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string folder_;
};

TEST(ExpandName, FillsInEveryLetter) {
  EXPECT_EQ(expand_name("%n-%p-%t.msnap", kParts), "gunicorn_worker_shop-4242-20261121T021504Z.msnap");
  EXPECT_EQ(expand_name("%h/%k/%c/100%%", kParts), "web-3/heap/host/100%");
}

TEST(ExpandName, RefusesUnknownLetters) {
  EXPECT_THROW(expand_name("%q", kParts), Error);
  EXPECT_THROW(expand_name("x%", kParts), Error);
}

TEST(ExpandName, ANameOfTheTargetCannotLeaveTheFolder) {
  EXPECT_EQ(file_name_part("../../etc/passwd"), "_.._etc_passwd");
  EXPECT_EQ(file_name_part("\x1b[31m\n"), "31m");
  EXPECT_EQ(file_name_part("-rf"), "rf");
  EXPECT_EQ(file_name_part("日本"), "python");
  EXPECT_EQ(file_name_part(std::string(500, 'a')).size(), 40u);
}

TEST_F(FilesTest, ADirectoryGetsTheDefaultName) {
  EXPECT_EQ(snapshot_path(folder_, "/unused", kParts), folder_ + "/gunicorn_worker_shop-4242-20261121T021504Z.msnap");
  EXPECT_EQ(snapshot_path("plain.msnap", "/unused", kParts), "plain.msnap");
  EXPECT_EQ(snapshot_path({}, "/default", kParts).find("/default/gunicorn"), 0u);
}

TEST_F(FilesTest, ANameThatIsTakenGetsANumber) {
  const std::string path = folder_ + "/shop-1.5-4242";
  EXPECT_EQ(path_not_taken(path + ".msnap"), path + ".msnap");
  std::ofstream(path + ".msnap") << "x";
  EXPECT_EQ(path_not_taken(path + ".msnap"), path + "-2.msnap");
  fs::create_symlink("/nonexistent", path + "-2.msnap");
  EXPECT_EQ(path_not_taken(path + ".msnap"), path + "-3.msnap");
}

TEST_F(FilesTest, AnExistingFileIsRefusedUnlessForced) {
  const std::string path = folder_ + "/there.msnap";
  std::ofstream(path) << "x";

  EXPECT_THROW(require_writable(path, false, SizeOrPercent{}), Error);
  EXPECT_NO_THROW(require_writable(path, true, SizeOrPercent{}));
  EXPECT_THROW(require_writable(folder_, true, SizeOrPercent{}), Error);
  EXPECT_THROW(require_writable(folder_ + "/none/x", false, SizeOrPercent{}), Error);
}

TEST_F(FilesTest, ADiskWithTooLittleSpaceIsRefused) {
  SizeOrPercent everything;
  everything.percent = 100;

  EXPECT_THROW(require_writable(folder_ + "/x", false, everything), Error);
}

TEST_F(FilesTest, TheNewestSnapshotIsByTimeAndOnlySnapshotsCount) {
  const auto now = fs::file_time_type::clock::now();
  for (const auto& [name, age] : {std::pair{"old.msnap", 60}, std::pair{"new.msnap", 10}, std::pair{"other.txt", 0},
                                  std::pair{"part.msnap.tmp.7", 0}}) {
    std::ofstream(folder_ + "/" + name) << "x";
    fs::last_write_time(folder_ + "/" + name, now - std::chrono::seconds(age));
  }
  fs::create_directory(folder_ + "/dir.msnap");

  EXPECT_EQ(newest_snapshot(folder_), folder_ + "/new.msnap");
  EXPECT_THROW(newest_snapshot(folder_ + "/none"), Error);
}

TEST_F(FilesTest, TheDefaultDirectoryIsPrivate) {
  const std::string path = folder_ + "/a/b/memsnap";

  make_private_directory(path);

  struct stat status {};
  ASSERT_EQ(::stat(path.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST(DefaultDirectory, TheEnvironmentDoesNotCountInSecureExecution) {
  const GetVariable chosen = [](const std::string& name) -> std::optional<std::string> {
    if (name == "MEMSNAP_DIR") return "/chosen";
    return std::nullopt;
  };

  EXPECT_EQ(default_directory(chosen, false), "/chosen");
  EXPECT_NE(default_directory(chosen, true), "/chosen");
}

}  // namespace
}  // namespace memsnap
