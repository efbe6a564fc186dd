#include "report/cli/unfinished_files.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "snapshot/store/output_file.h"

namespace memsnap {
namespace {

namespace fs = std::filesystem;

TEST(UnfinishedFiles, OneThatIsBeingWrittenIsNone) {
  std::string pattern = (fs::temp_directory_path() / "memsnap-unfinished-XXXXXX").string();
  const fs::path folder = ::mkdtemp(pattern.data());
  std::optional<OutputFile> file(std::in_place, folder / "a.msnap", false);
  const std::string temporary = fs::directory_iterator(folder)->path().string();

  EXPECT_TRUE(unfinished_files(folder.string(), std::chrono::seconds(0)).empty());
  file.reset();
  EXPECT_TRUE(fs::is_empty(folder));
  std::ofstream(temporary) << "half";
  const auto found = unfinished_files(folder.string(), std::chrono::seconds(0));
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].path, temporary);
  EXPECT_EQ(found[0].bytes, 4u);
  EXPECT_TRUE(unfinished_files(folder.string(), std::chrono::hours(1)).empty());
  remove_unfinished(temporary);
  EXPECT_TRUE(fs::is_empty(folder));
  fs::remove_all(folder);
}

}  // namespace
}  // namespace memsnap
