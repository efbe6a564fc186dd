#include "snapshot/store/output_file.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include "attach/base/error.h"

namespace memsnap {
namespace {

namespace fs = std::filesystem;

class OutputFileTest : public testing::Test {
 protected:
  OutputFileTest() : folder_(fs::temp_directory_path() / fmt::format("memsnap-output-{}", ::getpid())) {
    fs::create_directories(folder_);
  }
  ~OutputFileTest() override { fs::remove_all(folder_); }
  OutputFileTest(const OutputFileTest&) = delete;
  OutputFileTest& operator=(const OutputFileTest&) = delete;

  std::string path() const { return folder_ / "a"; }
  std::string temporary() const { return path() + fmt::format(".tmp.{}", ::getpid()); }
  static void write(OutputFile& file, const std::string& text) {
    file.append({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});  // NOLINT: bytes
  }
  std::string content() const {
    std::ifstream file(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  fs::path folder_;
};

TEST_F(OutputFileTest, TwoOfOneNameDoNotDisturbEachOther) {
  OutputFile first(path(), false);
  write(first, "first");
  OutputFile second(path(), false);
  write(second, "sec");
  first.commit();

  EXPECT_EQ(content(), "first");
  EXPECT_THROW(second.commit(), Error);
  EXPECT_EQ(content(), "first");
}

TEST_F(OutputFileTest, WhoeverIsFirstMakesTheWholeFile) {
  constexpr int kThreads = 8;
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> made = 0;
    std::vector<std::thread> threads;
    for (int number = 0; number < kThreads; ++number) {
      threads.emplace_back([&, number] {
        try {
          OutputFile file(path(), false);
          write(file, std::string(10000, static_cast<char>('a' + number)));
          file.commit();
          ++made;
        } catch (const Error& error) {
          EXPECT_NE(std::string(error.what()).find("exists"), std::string::npos) << error.what();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(made, 1);
    EXPECT_EQ(content(), std::string(10000, content().at(0)));
    EXPECT_EQ(files(), 1U);
    fs::remove(path());
  }
}

TEST_F(OutputFileTest, ALinkThatWasPlantedIsNotFollowed) {
  fs::create_symlink(folder_ / "victim", temporary());
  OutputFile file(path(), false);
  write(file, "text");
  file.commit();

  EXPECT_EQ(content(), "text");
  EXPECT_EQ(files(), 1U);
}

TEST_F(OutputFileTest, WhatOneThatWasKilledLeftIsLetBe) {
  std::ofstream(temporary()) << "left";
  {
    OutputFile file(path(), false);
    write(file, "text");
    file.commit();
  }

  EXPECT_EQ(content(), "text");
  EXPECT_TRUE(fs::exists(temporary()));
}

}  // namespace
}  // namespace memsnap
