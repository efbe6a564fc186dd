// Reading the tracking tables, and recordings of hours:
//   capture_bench read [MILLION_BLOCKS...]     default: 0.1 1 4; a row for each
//   capture_bench record FILE [HOURS]          a synthetic recording, a reading a second; default 1
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "snapshot/capture/slice_recorder.h"
#include "snapshot/store/snapshot_file.h"
#include "tests/unit/capture/fake_tables.h"

namespace memsnap {
namespace {

double cpu_seconds() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

// Stacks of up to 60 frames of a program of 5,000 functions in 300 files, run by eight threads.
class Program {
 public:
  explicit Program(std::uint32_t sites)
      : tables_(0x030c01f0, 1, {.threads = 64, .nodes = 1u << 20, .codes = 8192, .texts = 16u << 20, .leaves = 8192}) {
    std::vector<std::uint32_t> codes;
    std::string table;
    for (int i = 0; i < 200; ++i) table += std::string(1, static_cast<char>(0x80 | 13 << 3)) + static_cast<char>(2);
    for (int i = 0; i < 5000; ++i) {
      codes.push_back(tables_.code(
          fmt::format("/srv/application/lib/python3.12/site-packages/package{}/module{}.py", i % 20, i % 300),
          fmt::format("Class{}.method_{}", i % 700, i), 10 * i, table));
    }
    struct Place {
      std::uint32_t node;
      int depth;
    };
    std::vector<Place> places;
    for (std::uint32_t tid = 1000; tid < 1008; ++tid) places.push_back({tables_.thread(tid), 0});
    while (sites_.size() < sites) {
      Place at = places[random_() % places.size()];
      for (auto more = 1 + random_() % 6; more > 0 && at.depth < 60; --more) {
        at = {tables_.node(at.node, codes[random_() % codes.size()], 0x1000 + 2 * (random_() % 200)), at.depth + 1};
        places.push_back(at);
      }
      sites_.push_back(tables_.site(at.node, static_cast<Allocator>(random_() % 3)));
    }
  }

  FakeTables& tables() { return tables_; }
  std::uint32_t site() { return sites_[random_() % sites_.size()]; }
  std::uint32_t often() { return sites_[random_() % (sites_.size() / 10)]; }
  std::uint32_t random() { return static_cast<std::uint32_t>(random_()); }

 private:
  FakeTables tables_;
  std::mt19937 random_{7};
  std::vector<std::uint32_t> sites_;
};

constexpr std::uint64_t kHeap = 0x7f0000000000;

void read_blocks(double millions) {
  Program program(5000);
  const auto blocks = static_cast<std::uint64_t>(millions * 1e6);
  std::uint64_t address = kHeap;
  for (std::uint64_t i = 0; i < blocks; ++i) {
    const std::uint64_t size = 16 * (1 + program.random() % 8);
    program.tables().allocate(program.site(), address, size);
    address += size;
  }
  const TableReader reader = program.tables().reader();
  std::vector<double> took;
  for (int i = 0; i < 9; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    if (reader.read().blocks != blocks) std::abort();
    took.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count());
  }
  std::sort(took.begin(), took.end());
  fmt::print("| {:.1f} M live blocks | {:.1f} ms |\n", millions, took[took.size() / 2]);
}

void record(const std::string& file, double hours) {
  Program program(50'000);
  const TableReader reader = program.tables().reader();
  SliceRecorder recorder(reader);
  double cpu = 0;
  const auto seconds = static_cast<std::int64_t>(3600 * hours);
  const auto began = static_cast<std::int64_t>(FakeTables::kBegan);
  std::vector<std::uint64_t> live;
  std::uint64_t next = kHeap;
  for (std::int64_t second = 1; second <= seconds; ++second) {
    for (int i = 0; i < 3000; ++i) {
      const std::uint32_t site = i % 10 == 0 ? program.site() : program.often();
      const std::uint64_t size = 16 + program.random() % 500;
      if (live.size() > 300'000) {
        std::swap(live[program.random() % live.size()], live.back());
        program.tables().free(live.back());
        program.tables().allocate(site, live.back(), size);
      } else {
        program.tables().allocate(site, next, size);
        live.push_back(next);
        next += 512;
      }
    }
    const double begin = cpu_seconds();
    recorder.add(reader.read(), began + second * 1'000'000'000, 400u << 20);
    cpu += cpu_seconds() - begin;
  }
  const double begin = cpu_seconds();
  Snapshot snapshot;
  snapshot.header.kind = SnapshotKind::kAllocations;
  snapshot.header.taken_at_ns = began;
  snapshot.header.target.pid = 4242;
  snapshot.header.target.name = "synthetic";
  snapshot.header.target.python = "3.12.1";
  snapshot.profile = recorder.finish();
  const std::uint64_t bytes = save_snapshot(snapshot, file, {.force = true});
  fmt::print(
      "{} hours: {} rows, {} calls, {} slices, {} changes; {:.1f} MiB; reading {:.1f} ms of CPU a second, "
      "saving {:.2f} s\n",
      hours, snapshot.profile->row_count(), snapshot.profile->call_count(), snapshot.profile->slices.size(),
      snapshot.profile->changes.size(), static_cast<double>(bytes) / (1 << 20),
      1000 * cpu / static_cast<double>(seconds), cpu_seconds() - begin);
}

}  // namespace
}  // namespace memsnap

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() >= 2 && words[0] == "record") {
    memsnap::record(words[1], words.size() > 2 ? std::atof(words[2].c_str()) : 1);
    return 0;
  }
  if (words.empty() || words[0] != "read") return 2;
  if (words.size() == 1) {
    for (const double millions : {0.1, 1.0, 4.0}) memsnap::read_blocks(millions);
  }
  for (std::size_t i = 1; i < words.size(); ++i) memsnap::read_blocks(std::atof(words[i].c_str()));
  return 0;
}
