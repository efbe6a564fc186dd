#include "attach/steady_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>

namespace memsnap {
namespace {

constexpr std::size_t kSize = 40000;

class SteadyFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "memsnap-steady-XXXXXX";
    file_ = FileDescriptor(::mkstemp(name.data()));
    ASSERT_TRUE(file_);
    ::unlink(name.c_str());
    const std::string bytes(kSize, 'x');
    ASSERT_EQ(::write(file_.get(), bytes.data(), kSize), static_cast<ssize_t>(kSize));
  }

  FileDescriptor again() const { return FileDescriptor(::dup(file_.get())); }
  bool is_the_file(const FileDescriptor& other) const {
    struct stat mine {};
    struct stat its {};
    ::fstat(file_.get(), &mine);
    ::fstat(other.get(), &its);
    EXPECT_EQ(its.st_size, mine.st_size);
    return mine.st_dev == its.st_dev && mine.st_ino == its.st_ino;
  }

  FileDescriptor file_;
};

TEST_F(SteadyFilesTest, OfOurOwnUserNeedsNoCopy) {
  SteadyFiles files(0);
  EXPECT_TRUE(is_the_file(files.take(again())));
  EXPECT_EQ(files.left_out(), std::nullopt);
}

TEST_F(SteadyFilesTest, WhatOthersMayWriteIsCopied) {
  ASSERT_EQ(::fchmod(file_.get(), 0660), 0);
  SteadyFiles files;
  const FileDescriptor copy = files.take(again());
  ASSERT_TRUE(copy);
  EXPECT_FALSE(is_the_file(copy));
  EXPECT_EQ(files.left_out(), std::nullopt);
}

TEST_F(SteadyFilesTest, OfAnotherUserIsCopied) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to give a file away";
  ASSERT_EQ(::fchown(file_.get(), 65534, 65534), 0);
  SteadyFiles files;
  EXPECT_FALSE(is_the_file(files.take(again())));
}

TEST_F(SteadyFilesTest, WhatHasNoRoomIsCounted) {
  ASSERT_EQ(::fchmod(file_.get(), 0646), 0);
  SteadyFiles files(kSize * 3 / 2);
  EXPECT_TRUE(files.take(again()));
  EXPECT_FALSE(files.take(again()));
  EXPECT_FALSE(files.take(again()));
  ASSERT_TRUE(files.left_out());
  EXPECT_TRUE(files.left_out()->starts_with("2 libraries ")) << *files.left_out();
}

}  // namespace
}  // namespace memsnap
