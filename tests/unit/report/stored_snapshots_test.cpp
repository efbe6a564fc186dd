#include "report/cli/stored_snapshots.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "report/cli/retention.h"
#include "snapshot/store/snapshot_file.h"

namespace memsnap {
namespace {

namespace fs = std::filesystem;

class StoredSnapshots : public ::testing::Test {
 protected:
  StoredSnapshots() {
    // In memory where that is possible: thousands of files are synced.
    const fs::path memory = "/dev/shm";
    const bool there = ::access(memory.c_str(), W_OK) == 0;
    std::string pattern = ((there ? memory : fs::temp_directory_path()) / "memsnap-stored-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~StoredSnapshots() override { fs::remove_all(folder_); }

  // Of a process that ended long ago.
  std::string save(const std::string& name, std::int64_t taken_at_ns, pid_t pid = 4242, const std::string& more = "") {
    Snapshot snapshot;
    snapshot.header.kind = SnapshotKind::kAllocations;
    snapshot.header.taken_at_ns = taken_at_ns;
    snapshot.header.target.pid = pid;
    snapshot.header.target.start_time = 1;
    snapshot.header.target.name = fmt::format("shop {}", pid);
    snapshot.header.target.command_line = more;
    const std::string path = folder_ / (name + ".msnap");
    save_snapshot(snapshot, path, {.force = true});
    return path;
  }
  std::uint64_t bytes_on_disk() const {
    std::uint64_t bytes = 0;
    for (const auto& entry : fs::directory_iterator(folder_)) bytes += entry.file_size();
    return bytes;
  }

  fs::path folder_;
};

TEST_F(StoredSnapshots, WhatWasJustTakenStaysThoughTheClockWasSetBack) {
  save("before", 9000);
  save("later", 9500);
  const std::string taken = save("taken", 1000);
  for (const Retention& retention :
       {Retention{.keep = 1}, Retention{.max_total = 1}, Retention{.keep_for = std::chrono::hours(1)}}) {
    const Pruned pruned = prune(stored_snapshots(folder_), retention, true, taken);
    ASSERT_FALSE(pruned.kept.empty());
    EXPECT_EQ(pruned.kept.back().path, taken);
  }
  EXPECT_EQ(prune(stored_snapshots(folder_), {.keep = 1}, true).kept.back().path, folder_ / "later.msnap");
}

TEST_F(StoredSnapshots, AreReadAgainOnlyWhenTheyChange) {
  SnapshotFolders folders;
  EXPECT_TRUE(folders.read(folder_).empty());
  const std::string path = save("one", 1000);
  save("two", 2000);
  fs::create_symlink(path, folder_ / "link.msnap");
  ASSERT_EQ(folders.read(folder_).size(), 2u);
  EXPECT_EQ(folders.read(folder_)[0].taken_at_ns, 1000);
  save("one", 3000);
  const auto changed = folders.read(folder_);
  ASSERT_EQ(changed.size(), 2u);
  EXPECT_EQ(changed[0].taken_at_ns, 2000);
  EXPECT_EQ(changed[1].taken_at_ns, 3000);
  fs::remove(path);
  EXPECT_EQ(folders.read(folder_).size(), 1u);
  fs::resize_file(folder_ / "two.msnap", 10);
  EXPECT_TRUE(folders.read(folder_).empty());
}

// A snapshot every quarter of an hour, each as large as it likes.
TEST_F(StoredSnapshots, OfADayAndFiftyProcessesStayInsideTheirTotal) {
  constexpr std::uint64_t kMost = 40'000;
  constexpr int kProcesses = 50, kRounds = 96;
  constexpr std::int64_t kQuarter = 900'000'000'000;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::int64_t begin = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count() - kRounds * kQuarter;
  SnapshotFolders folders;
  std::size_t removed = 0;
  for (int round = 0; round < kRounds; ++round) {
    for (int process = 0; process < kProcesses; ++process) {
      const std::int64_t taken = begin + round * kQuarter + process;
      const std::string newest = save(fmt::format("{}-{}", process, round), taken, 1'000'000'000 + process,
                                      std::string(static_cast<std::size_t>(process * 37 % 500), 'x'));
      removed += prune(folders.read(folder_), {.max_total = kMost}, false).removed.size();
      ASSERT_LE(bytes_on_disk(), kMost);
      ASSERT_TRUE(fs::exists(newest));
    }
  }
  const auto left = folders.read(folder_);
  EXPECT_EQ(left.size() + removed, std::size_t{kProcesses} * kRounds);
  EXPECT_GT(bytes_on_disk(), kMost - 2000) << "no more is removed than must be";
}

}  // namespace
}  // namespace memsnap
