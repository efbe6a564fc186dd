#include "attach/base/own_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace memsnap {
namespace {

namespace fs = std::filesystem;

constexpr uid_t kNobody = 65534;

class OwnFile : public testing::Test {
 protected:
  OwnFile() {
    std::string name = (fs::temp_directory_path() / "memsnap-own.XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
    std::ofstream(path("file")) << "text";
    fs::create_symlink(path("file"), path("link"));
  }
  ~OwnFile() override { fs::remove_all(folder_); }
  std::string path(const char* name) const { return folder_ / name; }
  bool give_to_nobody(const char* name) const { return ::lchown(path(name).c_str(), kNobody, kNobody) == 0; }

 private:
  fs::path folder_;
};

TEST_F(OwnFile, OurOwnLinksAreFollowed) {
  EXPECT_FALSE(is_foreign_link(path("link")));
  EXPECT_FALSE(is_foreign_link(path("nothing")));
  EXPECT_FALSE(is_foreign_file(path("file")));
  EXPECT_TRUE(open_own(path("link"), O_RDONLY | O_CLOEXEC, 0));
  EXPECT_TRUE(open_own(path("new"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

TEST_F(OwnFile, AnothersAreNot) {
  if (!give_to_nobody("link") || !give_to_nobody("file")) GTEST_SKIP() << "needs root";
  EXPECT_TRUE(is_foreign_link(path("link")));
  EXPECT_FALSE(is_foreign_link(path("file")));
  EXPECT_TRUE(is_foreign_file(path("file")));
  EXPECT_FALSE(is_foreign_file(path("file"), kNobody));
  EXPECT_FALSE(open_own(path("link"), O_RDONLY | O_CLOEXEC, 0));
  EXPECT_EQ(errno, ELOOP);
}

}  // namespace
}  // namespace memsnap
