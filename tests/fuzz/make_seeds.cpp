#include <array>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "snapshot/analysis/retained.h"
#include "snapshot/points/point_log.h"
#include "snapshot/store/container.h"
#include "snapshot/store/snapshot_file.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/analysis/fake_graph.h"
#include "tests/unit/model/fake_profile.h"

// Files for fuzzers to begin with that this program's own code makes; tests/fuzz/make_corpus makes the others.
//
//   make_seeds CORPUS
namespace memsnap {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

constexpr std::uint64_t kMostRaw = 6000;  // of a part: what is longer is cut, which is a seed too

void write(const fs::path& path, const Bytes& bytes) {
  fs::create_directories(path.parent_path());
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

Bytes read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <typename T>
void put(Bytes& to, T value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  for (const std::byte byte : bytes) to.push_back(static_cast<std::uint8_t>(byte));
}

// As snapshot_file.cpp takes it.
Bytes split(const fs::path& file, std::uint8_t command) {
  Bytes seed{command};
  ContainerReader reader(file);
  const std::vector<PartEntry> parts = reader.parts();
  for (const PartEntry& part : parts) {
    Bytes raw = reader.read_bytes(part, 64u << 20);
    if (raw.size() > kMostRaw) raw.resize(kMostRaw);
    put(seed, static_cast<std::uint8_t>(part.id));
    put(seed, static_cast<std::uint32_t>(part.items));
    put(seed, static_cast<std::uint16_t>(raw.size()));
    seed.insert(seed.end(), raw.begin(), raw.end());
  }
  return seed;
}

Snapshot small_snapshot(std::uint32_t seed, NodeIndex nodes) {
  std::mt19937 random(seed);
  FakeGraph builder;
  for (NodeIndex i = 0; i < nodes; ++i) {
    if (i % 4 == 0) {
      builder.text("text " + std::to_string(i % 7));
    } else {
      builder.node("shop.Type" + std::to_string(i % 5), 16 + random() % 90);
    }
  }
  for (NodeIndex i = 0; i < 2 * nodes; ++i) {
    const auto kind = static_cast<Label>(random() % 11);
    const auto named = static_cast<NodeIndex>(random() % nodes);
    builder.edge(static_cast<NodeIndex>(random() % nodes), static_cast<NodeIndex>(random() % nodes),
                 random() % 2 == 0 ? EdgeLabel::of(kind) : EdgeLabel::named_by(kind, named));
  }
  for (std::uint32_t i = 0; i < 3; ++i) {
    builder.root(static_cast<NodeIndex>(random() % nodes), static_cast<RootKind>(i), "root " + std::to_string(i));
  }
  Snapshot snapshot;
  snapshot.graph = builder.build();
  analyze(snapshot.graph);
  snapshot.header.kind = SnapshotKind::kHeap;
  snapshot.header.target.pid = 42;
  snapshot.header.target.python = "3.12.1";
  snapshot.header.taken_at_ns = 1'795'227'304'000'000'000;
  ThreadStacks& stacks = snapshot.threads.emplace();
  stacks.threads.push_back({.tid = 42, .name = stacks.strings.add("MainThread"), .flags = 1});
  stacks.threads.back().frame_count = 2;
  for (const char* name : {"inner", "outer"}) {
    stacks.frames.push_back({.function = stacks.strings.add(name), .file = stacks.strings.add("shop.py"), .line = 7});
  }
  stacks.deadlocks = {{42}};
  snapshot.profile = random_profile(seed, 6);
  return snapshot;
}

void make_snapshots(const fs::path& corpus) {
  const fs::path file = corpus / "seed.msnap";
  const auto add = [&](const Snapshot& snapshot, const std::string& name, unsigned command) {
    save_snapshot(snapshot, file, {.force = true});
    write(corpus / "snapshot_file" / name, split(file, static_cast<std::uint8_t>(command)));
  };
  for (std::uint32_t i = 0; i < 4; ++i) add(small_snapshot(i, 12 + 20 * i), "graph-" + std::to_string(i), 5 * i);
  Snapshot parts = small_snapshot(7, 16);
  parts.profile.reset();
  parts.header.kind = SnapshotKind::kTypes;
  add(parts, "types", 1);
  parts.header.kind = SnapshotKind::kSession;
  add(parts, "session", 8);
  parts = small_snapshot(8, 4);
  parts.header.kind = SnapshotKind::kAllocations;
  add(parts, "allocations", 6);
  Bytes whole{200};
  const Bytes bytes = read(file);
  whole.insert(whole.end(), bytes.begin(), bytes.end());
  write(corpus / "snapshot_file" / "whole", whole);
  fs::remove(file);
}

void make_logs(const fs::path& corpus) {
  const std::string file = corpus / "seed.points";
  for (std::int32_t pid = 1; pid < 3; ++pid) {
    PointToMake point;
    point.process = {"host", "boot", pid, 7};
    point.name = "shop.py";
    point.first_id = "Process Start";
    point.note = "after the import";
    point.measure = [] {
      MeasuredMemory memory;
      memory.time_ns = 1'795'227'304'000'000'000;
      memory.rss = 1 << 20;
      return memory;
    };
    (void)PointLog::for_writing(file, {}).append(point);
  }
  Bytes whole{0};
  const Bytes bytes = read(file);
  whole.insert(whole.end(), bytes.begin(), bytes.end());
  write(corpus / "point_log" / "whole", whole);
  fs::remove(file);
  Bytes rows{1};
  for (unsigned kind = 0; kind < 5; ++kind) {
    rows.push_back(static_cast<std::uint8_t>(kind % 3));
    for (unsigned i = 0; i < 14; ++i) rows.push_back(static_cast<std::uint8_t>(i * 4 + 2));
  }
  write(corpus / "point_log" / "rows", rows);
  Bytes texts{1};
  for (int i = 0; i < 40; ++i) texts.insert(texts.end(), {1, 13, 'a', 'b', 'c', 0, 1, 0, 0, 0, 0, 0, 0, 0x80});
  write(corpus / "point_log" / "texts", texts);
}

void make_heaps(const fs::path& corpus) {
  for (std::uint8_t release = 0; release < 8; ++release) {
    Bytes words{release};
    std::mt19937 random(release);
    for (int i = 0; i < 4 * release; ++i) {
      put(words, static_cast<std::uint16_t>(random()));
      put(words, static_cast<std::uint8_t>(i));
      put(words, std::uint64_t{random()});
    }
    write(corpus / "heap_walk" / ("release-" + std::to_string(release)), words);
  }
}

}  // namespace
}  // namespace memsnap

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  const std::filesystem::path corpus = argv[1];
  std::filesystem::create_directories(corpus);
  memsnap::make_snapshots(corpus);
  memsnap::make_logs(corpus);
  memsnap::make_heaps(corpus);
  return 0;
}
