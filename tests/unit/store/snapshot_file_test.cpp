#include "snapshot/store/snapshot_file.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "attach/base/error.h"
#include "attach/base/file_descriptor.h"
#include "snapshot/analysis/containment.h"
#include "snapshot/analysis/retained.h"
#include "snapshot/store/container.h"
#include "snapshot/store/container_layout.h"
#include "snapshot/store/crc32c.h"
#include "snapshot/store/parts.h"
#include "tests/unit/analysis/fake_graph.h"
#include "tests/unit/model/fake_profile.h"

namespace memsnap {
namespace {

using Bytes = std::vector<std::uint8_t>;

class SnapshotFile : public testing::Test {
 protected:
  SnapshotFile() {
    // Thousands of files are written and flushed here: in memory where there is such a place.
    const std::filesystem::path memory = "/dev/shm";
    const bool has_memory = ::access(memory.c_str(), W_OK) == 0;
    std::string name =
        ((has_memory ? memory : std::filesystem::temp_directory_path()) / "memsnap-store.XXXXXX").string();
    folder_ = mkdtemp(name.data());
  }
  ~SnapshotFile() override { std::filesystem::remove_all(folder_); }

  std::filesystem::path path(const std::string& name = "a.msnap") const { return folder_ / name; }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder_), {}));
  }
  Bytes read() const {
    std::ifstream in(path(), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  // Not emptied first: some file systems flush a file that is replaced in that way to disk, thousands of times here.
  void write(const Bytes& bytes) const {
    const FileDescriptor file(::open(path().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ASSERT_EQ(::pwrite(file.get(), bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    ASSERT_EQ(::ftruncate(file.get(), static_cast<off_t>(bytes.size())), 0);
  }

 private:
  std::filesystem::path folder_;
};

ThreadStacks random_threads(std::uint32_t seed) {
  std::mt19937 random(seed);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  ThreadStacks stacks;
  const auto text = [&] { return stacks.strings.add("text " + std::to_string(below(30)) + "\xff\n"); };
  stacks.gil_held = static_cast<Tristate>(below(3));
  stacks.gil_holder = static_cast<std::int32_t>(below(1u << 22));
  stacks.collecting = static_cast<Tristate>(below(3));
  stacks.has_native = below(2) != 0;
  stacks.partial = below(2) != 0;
  stacks.all_wait = below(2) != 0;
  for (std::uint32_t i = 0; i < 5; ++i) {
    ThreadStack thread{
        .tid = static_cast<std::int32_t>(i * 1000), .name = text(), .flags = static_cast<std::uint8_t>(below(128))};
    thread.wait = static_cast<WaitKind>(below(6));
    thread.waits = text();
    thread.owner = static_cast<std::int32_t>(below(1u << 22));
    thread.wait_seconds = below(2) == 0 ? -1 : below(1u << 30) / 1000.0;
    thread.interpreter = below(3) - 1;
    thread.frame_begin = static_cast<std::uint32_t>(stacks.frames.size());
    thread.frame_count = below(9);
    for (std::uint32_t j = 0; j < thread.frame_count; ++j) {
      stacks.frames.push_back({.function = text(),
                               .file = text(),
                               .line = static_cast<std::int32_t>(below(1u << 20)),
                               .native = below(2) != 0,
                               .address = std::uint64_t{random()} << 20 | random()});
    }
    stacks.threads.push_back(thread);
  }
  stacks.deadlocks = {{1, 2, 3}, {7}};
  return stacks;
}

bool same_threads(const ThreadStacks& a, const ThreadStacks& b) {
  const auto same_thread = [&](const ThreadStack& x, const ThreadStack& y) {
    return x.tid == y.tid && a.strings.text(x.name) == b.strings.text(y.name) && x.flags == y.flags &&
           x.wait == y.wait && a.strings.text(x.waits) == b.strings.text(y.waits) && x.owner == y.owner &&
           x.wait_seconds == y.wait_seconds && x.interpreter == y.interpreter && x.frame_begin == y.frame_begin &&
           x.frame_count == y.frame_count;
  };
  const auto same_frame = [&](const StackFrame& x, const StackFrame& y) {
    return a.strings.text(x.function) == b.strings.text(y.function) &&
           a.strings.text(x.file) == b.strings.text(y.file) && x.line == y.line && x.native == y.native &&
           x.address == y.address;
  };
  return std::equal(a.threads.begin(), a.threads.end(), b.threads.begin(), b.threads.end(), same_thread) &&
         std::equal(a.frames.begin(), a.frames.end(), b.frames.begin(), b.frames.end(), same_frame) &&
         a.gil_held == b.gil_held && a.gil_holder == b.gil_holder && a.collecting == b.collecting &&
         a.has_native == b.has_native && a.partial == b.partial && a.all_wait == b.all_wait &&
         a.deadlocks == b.deadlocks;
}

Snapshot random_snapshot(std::uint32_t seed, NodeIndex nodes) {
  std::mt19937 random(seed);
  const auto below = [&](std::uint32_t n) { return static_cast<std::uint32_t>(random() % n); };
  FakeGraph builder;
  for (NodeIndex i = 0; i < nodes; ++i) {
    if (below(4) == 0) {
      builder.text("text " + std::to_string(below(nodes)));
    } else {
      builder.node("module.Type" + std::to_string(below(7)), below(3) == 0 ? random() : 16 + below(64),
                   static_cast<std::uint8_t>(below(32)));
    }
  }
  for (NodeIndex i = 0; i < 3 * nodes; ++i) {
    const auto kind = static_cast<Label>(below(11));
    const EdgeLabel label = below(2) == 0 ? EdgeLabel::of(kind) : EdgeLabel::named_by(kind, below(nodes));
    builder.edge(below(nodes), below(nodes), label);
  }
  for (std::uint32_t i = 0; i < 3; ++i)
    builder.root(below(nodes), static_cast<RootKind>(i), "root " + std::to_string(i));
  Snapshot snapshot;
  snapshot.graph = builder.build();
  for (NodeIndex i = 0; i < nodes; ++i) snapshot.graph.address[i] += below(4) * 16;
  for (NodeIndex i = 0; i < nodes; i += 3) {
    snapshot.graph.hash_node.push_back(i);
    snapshot.graph.text_hash.push_back(static_cast<std::uint32_t>(random()));
  }
  analyze(snapshot.graph);
  snapshot.threads = random_threads(seed);
  snapshot.profile = random_profile(seed, 1 + nodes % 40);
  for (NodeIndex i = 0; i < nodes; ++i) {
    snapshot.graph.site.push_back(below(static_cast<std::uint32_t>(snapshot.profile->row_count() + 1)));
  }
  return snapshot;
}

SnapshotHeader full_header() {
  SnapshotHeader header;
  header.tool_version = "0.1.0";
  header.taken_at_ns = 1'795'000'000'123'456'789;
  header.strings = StringsPolicy::kPrefix;
  header.strings_prefix = 12;
  header.redacted = true;
  header.target = {.pid = 4242,
                   .start_time = ~0ull,
                   .host = "web-3",
                   .name = "a\"b\\c\x1b[31m\xff\x80",
                   .command_line = std::string("python3\0x", 9),
                   .executable = "/usr/bin/python3",
                   .user = "www",
                   .container = "",
                   .python = "3.12.1",
                   .python_hex = 0x030c01f0,
                   .uptime_seconds = 0.1,
                   .threads = 18};
  header.memory = {.rss = 1, .pss = 2, .uss = 3, .python_objects = 4};
  header.memory.parts = {{kPartObjects, 5}, {kPartOther, 6}};
  header.memory.allocator = "jemalloc";
  header.memory.trimmable = 7;
  header.method = "freeze";
  header.consistent = false;
  header.target_ended = true;
  header.pause_ms = 2.75;
  header.orphan_bytes = 99;
  header.skipped_types = {{.name = "x.Y", .count = 3, .bytes = 5}};
  header.warnings = {"one", "two"};
  header.suspects = {{"module shop.CACHE", "builtins.dict", 0x7f0000001000, 900, "shop.Entry", 7, 800}};
  return header;
}

void expect_equal(const HeapGraph& a, const HeapGraph& b) {
  EXPECT_EQ(a.address, b.address);
  EXPECT_EQ(a.type, b.type);
  EXPECT_EQ(a.size, b.size);
  EXPECT_EQ(a.flags, b.flags);
  EXPECT_EQ(a.edge_begin, b.edge_begin);
  EXPECT_EQ(a.edge_target, b.edge_target);
  EXPECT_TRUE(std::equal(a.edge_label.begin(), a.edge_label.end(), b.edge_label.begin(), b.edge_label.end(),
                         [](EdgeLabel x, EdgeLabel y) { return x.bits == y.bits; }));
  EXPECT_EQ(a.strings.buffer(), b.strings.buffer());
  EXPECT_EQ(a.strings.begin(), b.strings.begin());
  EXPECT_EQ(a.text_node, b.text_node);
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.hash_node, b.hash_node);
  EXPECT_EQ(a.text_hash, b.text_hash);
  EXPECT_EQ(a.dominator, b.dominator);
  EXPECT_EQ(a.retained, b.retained);
  const auto as_root = [](const Root& r) { return std::tuple(r.kind, r.node, r.name); };
  ASSERT_EQ(a.roots.size(), b.roots.size());
  for (std::size_t i = 0; i < a.roots.size(); ++i) EXPECT_EQ(as_root(a.roots[i]), as_root(b.roots[i]));
  const auto as_type = [](const TypeEntry& t) {
    return std::tuple(t.name, t.address, t.node, t.basic_size, t.count, t.size, t.retained);
  };
  ASSERT_EQ(a.types.size(), b.types.size());
  for (std::size_t i = 0; i < a.types.size(); ++i) EXPECT_EQ(as_type(a.types[i]), as_type(b.types[i]));
}

// What goes wrong, as text; empty when nothing does.
std::string failure(const std::function<void()>& action, ExitCode expected = ExitCode::kBadFile) {
  try {
    action();
    return "";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), expected);
    EXPECT_FALSE(error.hint().empty());
    return error.what();
  }
}

TEST_F(SnapshotFile, GivesBackWhatWasSaved) {
  for (const NodeIndex nodes : {1u, 2u, 50u, 3000u, 200'000u}) {
    Snapshot snapshot = random_snapshot(nodes, nodes);
    for (std::size_t i = 0; i < snapshot.graph.types.size(); ++i) {
      snapshot.graph.types[i].address = 0x7f00000000 + 416 * (i * 7919 % 13);
      snapshot.graph.types[i].node = i % 2 == 0 ? kNoNode : static_cast<NodeIndex>(i % nodes);
    }
    save_snapshot(snapshot, path(), {.force = true});

    expect_equal(load_snapshot(path(), kPartsAll).graph, snapshot.graph);
  }
}

TEST_F(SnapshotFile, GivesBackTheHeaderByteForByte) {
  Snapshot snapshot = random_snapshot(1, 10);
  snapshot.header = full_header();
  save_snapshot(snapshot, path());

  const SnapshotHeader header = load_snapshot(path(), 0).header;

  EXPECT_EQ(header.taken_at_ns, 1'795'000'000'123'456'789);
  EXPECT_EQ(header.strings, StringsPolicy::kPrefix);
  EXPECT_EQ(header.target.start_time, ~0ull);
  EXPECT_EQ(header.target.name, snapshot.header.target.name);
  EXPECT_EQ(header.target.command_line, std::string("python3\0x", 9));
  EXPECT_EQ(header.target.uptime_seconds, 0.1);
  EXPECT_EQ(header.memory.python_objects, 4u);
  EXPECT_EQ(header.memory.part(kPartObjects), 5u);
  EXPECT_EQ(header.memory.part(kPartOther), 6u);
  EXPECT_EQ(header.memory.allocator, "jemalloc");
  EXPECT_EQ(header.memory.trimmable, 7u);
  EXPECT_FALSE(header.consistent);
  EXPECT_TRUE(header.target_ended);
  EXPECT_EQ(header.skipped_types.at(0).bytes, 5u);
  EXPECT_EQ(header.warnings, (std::vector<std::string>{"one", "two"}));
  ASSERT_EQ(header.suspects.size(), 1u);
  EXPECT_EQ(header.suspects[0].path, "module shop.CACHE");
  EXPECT_EQ(header.suspects[0].address, 0x7f0000001000u);
  EXPECT_EQ(header.suspects[0].crowd_count, 7u);
}

TEST_F(SnapshotFile, LoadsOnlyWhatAReportNeeds) {
  Snapshot snapshot = random_snapshot(2, 1000);
  snapshot.graph.types.back().native = std::uint64_t{1} << 40;
  save_snapshot(snapshot, path());

  const HeapGraph types = load_snapshot(path(), kPartTypes).graph;
  const HeapGraph tree = load_snapshot(path(), kPartsTree).graph;

  EXPECT_EQ(types.node_count(), 0u);
  ASSERT_EQ(types.types.size(), snapshot.graph.types.size());
  for (std::size_t i = 0; i < types.types.size(); ++i) {
    EXPECT_EQ(types.strings.text(types.types[i].name), snapshot.graph.strings.text(snapshot.graph.types[i].name));
    EXPECT_EQ(types.types[i].retained, snapshot.graph.types[i].retained);
    EXPECT_EQ(types.types[i].native, snapshot.graph.types[i].native);
  }
  EXPECT_TRUE(tree.address.empty());
  EXPECT_EQ(tree.node_count(), 1000u);
  EXPECT_EQ(tree.dominator, snapshot.graph.dominator);
}

TEST_F(SnapshotFile, OfKindTypesHasNoColumns) {
  Snapshot snapshot;
  snapshot.header.kind = SnapshotKind::kTypes;
  snapshot.graph.types = {{.name = snapshot.graph.strings.add("builtins.dict"), .count = 3, .size = 192}};
  save_snapshot(snapshot, path());

  const Snapshot loaded = load_snapshot(path(), kPartsAll);

  EXPECT_EQ(loaded.header.kind, SnapshotKind::kTypes);
  EXPECT_EQ(loaded.graph.types.at(0).count, 3u);
  EXPECT_EQ(loaded.graph.node_count(), 0u);
}

TEST_F(SnapshotFile, CutShortAnywhereIsRefused) {
  save_snapshot(random_snapshot(3, 20), path());
  const Bytes whole = read();
  for (std::size_t length = 0; length < whole.size(); ++length) {
    write(Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
    const std::string what = failure([&] { load_snapshot(path(), kPartsAll); });
    ASSERT_NE(what.find(length == 0 ? "is not a memsnap file" : "is cut short"), std::string::npos) << length << what;
  }
}

TEST_F(SnapshotFile, WithAnyByteChangedIsRefusedOrTheSame) {
  const Snapshot snapshot = random_snapshot(4, 20);
  save_snapshot(snapshot, path());
  Bytes bytes = read();
  constexpr std::array<int, 3> kChanges{0x01, 0x80, 0xff};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const int change = kChanges.at(i % kChanges.size());
    bytes[i] = static_cast<std::uint8_t>(bytes[i] ^ change);
    write(bytes);
    Snapshot loaded;
    if (failure([&] { loaded = load_snapshot(path(), kPartsAll); }).empty()) {
      expect_equal(loaded.graph, snapshot.graph);  // the names of types are stored twice, so as to be read alone
    }
    bool intact = false;
    failure([&] { intact = inspect_snapshot(path()).intact; });
    ASSERT_FALSE(intact) << "byte " << i;
    bytes[i] = static_cast<std::uint8_t>(bytes[i] ^ change);
  }
}

// Changes one part's directory entry, or the bytes of a part, and makes every checksum right again.
Bytes forge(Bytes file, const std::function<void(PartEntry&, Bytes&)>& change) {
  const auto directory = load<std::uint64_t>(&file[16]);
  const auto count = load<std::uint32_t>(&file[24]);
  LittleEndian entries;
  for (std::uint32_t i = 0; i < count; ++i) {
    PartEntry part = get_part(&file[directory + i * kEntryBytes]);
    change(part, file);
    put_part(entries, part);
  }
  std::copy(entries.bytes.begin(), entries.bytes.end(), file.begin() + static_cast<std::ptrdiff_t>(directory));
  const Bytes header = make_header(directory, count, crc32c(entries.bytes), file.size());
  std::copy(header.begin(), header.end(), file.begin());
  return file;
}

TEST_F(SnapshotFile, WithForgedCountsIsRefused) {
  save_snapshot(random_snapshot(5, 300), path());
  const Bytes good = read();
  for (std::uint32_t id = kPartIdTypeNames; id <= kPartIdSite; ++id) {
    if (id > kPartIdTextHash && id < kPartIdProfileFrames) continue;   // not columns
    if (id == kPartIdTypeNames || id == kPartIdStringBytes) continue;  // their counts are for information
    for (const std::uint64_t items : {std::uint64_t{1}, std::uint64_t{299}, std::uint64_t{301}, std::uint64_t{50'000},
                                      ~std::uint64_t{0}, std::uint64_t{0xffffffff}}) {
      write(forge(good, [&](PartEntry& part, Bytes&) {
        if (part.id == id && part.items != items) part.items = items;
      }));
      if (read() == good) continue;
      EXPECT_NE(failure([&] { load_snapshot(path(), kPartsAll); }), "") << part_name(id) << " " << items;
    }
  }
}

TEST_F(SnapshotFile, WithForgedPartsNeverCrashes) {
  save_snapshot(random_snapshot(6, 200), path());
  const Bytes good = read();
  std::mt19937 random(11);
  int refused = 0;
  for (int round = 0; round < 3000; ++round) {
    // Bytes inside the frames change, and the part's checksum with them: zstd's own and ours behind it must hold.
    write(forge(good, [&](PartEntry& part, Bytes& file) {
      if (random() % 8 != 0 || part.stored == 0) return;
      for (auto i = 1 + random() % 3; i > 0; --i) {
        file[part.offset + random() % part.stored] ^= static_cast<std::uint8_t>(1 + random() % 255);
      }
      part.crc = crc32c(std::span(file).subspan(part.offset, part.stored));
    }));
    refused += failure([&] { load_snapshot(path(), kPartsAll); }).empty() ? 0 : 1;
  }
  EXPECT_GT(refused, 1000);
}

void expect_safe(const ThreadStacks& stacks) {
  for (const ThreadStack& thread : stacks.threads) {
    ASSERT_LE(std::size_t{thread.frame_begin} + thread.frame_count, stacks.frames.size());
    ASSERT_LE(thread.wait, WaitKind::kThreadEnd);
    ASSERT_LT(thread.name, stacks.strings.size());
  }
  for (const StackFrame& frame : stacks.frames) ASSERT_TRUE(frame.function < stacks.strings.size() && frame.line >= 0);
}

void expect_safe(const HeapGraph& graph) {
  const std::size_t nodes = graph.node_count();
  ASSERT_EQ(graph.edge_begin.size(), nodes + 1);
  ASSERT_TRUE(std::is_sorted(graph.edge_begin.begin(), graph.edge_begin.end()));
  ASSERT_EQ(graph.edge_begin.back(), graph.edge_count());
  for (const TypeId type : graph.type) ASSERT_LT(type, graph.types.size());
  for (const NodeIndex target : graph.edge_target) ASSERT_LT(target, nodes);
  for (const NodeIndex above : graph.dominator) ASSERT_TRUE(above == kNoNode || above < nodes);
  for (const NodeIndex node : graph.text_node) ASSERT_LT(node, nodes);
  for (const StringId id : graph.text) ASSERT_LT(id, graph.strings.size());
  for (const Root& root : graph.roots) ASSERT_LT(root.node, nodes);
  ASSERT_TRUE(std::is_sorted(graph.address.begin(), graph.address.end()));
}

TEST_F(SnapshotFile, KeepsWhatThreadsDid) {
  for (std::uint32_t seed = 0; seed < 30; ++seed) {
    const Snapshot snapshot = random_snapshot(seed, 5);
    save_snapshot(snapshot, path(), {.force = true});

    const Snapshot loaded = load_snapshot(path(), kPartThreads);

    ASSERT_TRUE(loaded.threads.has_value());
    EXPECT_TRUE(same_threads(*snapshot.threads, *loaded.threads)) << seed;
    EXPECT_FALSE(load_snapshot(path(), kPartTypes).threads.has_value());
  }
}

TEST_F(SnapshotFile, KeepsTheAllocations) {
  for (std::uint32_t seed = 0; seed < 30; ++seed) {
    const Snapshot snapshot = random_snapshot(seed, 1 + seed);
    save_snapshot(snapshot, path(), {.force = true});

    const Snapshot loaded = load_snapshot(path(), kPartProfile | kPartSites);

    ASSERT_TRUE(loaded.profile.has_value());
    EXPECT_TRUE(same_profile(*snapshot.profile, *loaded.profile)) << seed;
    EXPECT_EQ(loaded.graph.site, snapshot.graph.site);
    EXPECT_FALSE(load_snapshot(path(), kPartsTree).profile.has_value());
  }
}

TEST_F(SnapshotFile, OfAllocationsAloneIsRefusedByReadersThatDoNotKnowThem) {
  Snapshot snapshot;
  snapshot.header.kind = SnapshotKind::kAllocations;
  snapshot.profile = random_profile(5, 30);
  save_snapshot(snapshot, path());
  const auto flags_of_profile = [&] { return ContainerReader(path()).find(kPartIdProfile)->flags; };
  EXPECT_EQ(flags_of_profile(), kPartRequired);

  const Snapshot loaded = load_snapshot(path(), kPartsAll);

  EXPECT_EQ(loaded.header.kind, SnapshotKind::kAllocations);
  EXPECT_TRUE(same_profile(*snapshot.profile, *loaded.profile));
  save_snapshot(random_snapshot(4, 10), path(), {.force = true});
  EXPECT_EQ(flags_of_profile(), 0u);
}

TEST_F(SnapshotFile, SitesWithoutTheirRowsAreNotWritten) {
  Snapshot snapshot = random_snapshot(3, 20);
  snapshot.graph.site[7] = 1000;
  EXPECT_THROW(save_snapshot(snapshot, path()), std::invalid_argument);
  snapshot.graph.site.clear();
  snapshot.profile->row_call[0] = 100'000;
  EXPECT_THROW(save_snapshot(snapshot, path()), std::invalid_argument);
  EXPECT_EQ(files(), 0u);
}

TEST_F(SnapshotFile, WithoutThreadsIsWhole) {
  Snapshot snapshot = random_snapshot(3, 20);
  snapshot.threads.reset();
  save_snapshot(snapshot, path());

  EXPECT_FALSE(load_snapshot(path(), kPartsAll).threads.has_value());
  EXPECT_TRUE(inspect_snapshot(path()).intact);
}

// Well-formed containers with wrong content: only the readers' own checks stand between them and the reports.
TEST_F(SnapshotFile, WithForgedContentIsRefusedOrSafe) {
  save_snapshot(random_snapshot(13, 120), path());
  ContainerReader good(path());
  std::mt19937 random(17);
  int refused = 0;
  constexpr int kRounds = 2000;
  for (int round = 0; round < kRounds; ++round) {
    const std::size_t forged = random() % good.parts().size();
    ContainerWriter out(path("forged"), true, 1);
    for (std::size_t i = 0; i < good.parts().size(); ++i) {
      const PartEntry& part = good.parts()[i];
      out.begin_part(part.id);
      ContainerReader::Blocks blocks(good, part);
      for (auto block = blocks.next(); !block.empty(); block = blocks.next()) {
        Bytes raw(block.begin(), block.end());
        for (auto change = i == forged ? 1 + random() % 4 : 0; change > 0; --change) {
          raw[random() % raw.size()] = static_cast<std::uint8_t>(random());
        }
        out.block(raw);
      }
      out.end_part(part.items);
    }
    out.finish();
    Snapshot loaded;
    if (!failure([&] { loaded = load_snapshot(path("forged"), kPartsAll); }).empty()) {
      ++refused;
      continue;
    }
    expect_safe(loaded.graph);
    if (loaded.threads) expect_safe(*loaded.threads);
    ASSERT_TRUE(!loaded.profile || is_consistent(*loaded.profile));
    for (const std::uint32_t site : loaded.graph.site) ASSERT_LE(site, loaded.profile->row_count());
    ASSERT_FALSE(HasFatalFailure()) << "round " << round;
    build_containment(loaded.graph, {.depth = 0, .min_percent = 0, .max_children = 0});
    analyze(loaded.graph);
  }
  EXPECT_GT(refused, kRounds / 10);
  EXPECT_LT(refused, kRounds);
}

TEST_F(SnapshotFile, FromANewerVersionIsSaidToBe) {
  save_snapshot(random_snapshot(7, 10), path());
  Bytes bytes = read();
  bytes[8] = bytes[12] = 9;
  const std::uint32_t crc = crc32c(std::span(bytes).first(60));
  std::memcpy(&bytes[60], &crc, sizeof(crc));
  write(bytes);

  EXPECT_NE(failure([&] { load_snapshot(path(), 0); }).find("newer memsnap (file format 9)"), std::string::npos);
}

TEST_F(SnapshotFile, WithAnUnknownPartIsReadUnlessThePartIsRequired) {
  const Snapshot snapshot = random_snapshot(8, 30);
  save_snapshot(snapshot, path());
  const Bytes good = read();
  const auto rename_hashes = [](std::uint32_t flags) {
    return [flags](PartEntry& part, Bytes&) {
      if (part.id == kPartIdRetained + 100) part.flags = flags;
    };
  };
  // A part of a later version: here the directory grows by an empty one.
  Bytes longer = good;
  LittleEndian entry;
  put_part(entry, {.id = kPartIdRetained + 100, .offset = kHeaderBytes});
  longer.insert(longer.end(), entry.bytes.begin(), entry.bytes.end());
  ++longer[24];

  write(forge(longer, rename_hashes(0)));
  expect_equal(load_snapshot(path(), kPartsAll).graph, snapshot.graph);
  EXPECT_FALSE(inspect_snapshot(path()).parts.back().known);

  write(forge(longer, rename_hashes(kPartRequired)));
  EXPECT_NE(failure([&] { load_snapshot(path(), 0); }).find("does not know"), std::string::npos);
}

TEST_F(SnapshotFile, ThatIsSomethingElseIsSaidToBe) {
  write({'#', '!', '/', 'b', 'i', 'n', '/', 's', 'h', '\n'});
  EXPECT_NE(failure([&] { load_snapshot(path(), 0); }).find("is not a memsnap file"), std::string::npos);
  EXPECT_NE(failure([&] { load_snapshot(path("none"), 0); }).find("No such file"), std::string::npos);
  EXPECT_NE(failure([&] { load_snapshot(path().parent_path(), 0); }).find("not a regular file"), std::string::npos);
}

TEST_F(SnapshotFile, IsPrivateAndNeverReplacesAnotherUnlessForced) {
  save_snapshot(random_snapshot(9, 10), path());
  struct stat status {};
  ASSERT_EQ(::stat(path().c_str(), &status), 0);
  const Bytes first = read();

  const auto again = [&](bool force) { save_snapshot(random_snapshot(10, 40), path(), {.force = force}); };
  const std::string what = failure([&] { again(false); }, ExitCode::kCannotWrite);

  EXPECT_EQ(status.st_mode & 0777u, 0600u);
  EXPECT_NE(what.find("exists already"), std::string::npos);
  EXPECT_EQ(read(), first);
  again(true);
  EXPECT_NE(read(), first);
  EXPECT_EQ(files(), 1u);
}

TEST_F(SnapshotFile, ThatCannotBeWrittenLeavesNothingBehind) {
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = old;
  small.rlim_cur = 4096;
  setrlimit(RLIMIT_FSIZE, &small);
  const std::string what = failure([&] { save_snapshot(random_snapshot(11, 5000), path()); }, ExitCode::kCannotWrite);
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, old_handler);

  EXPECT_NE(what.find("File too large"), std::string::npos);
  EXPECT_EQ(files(), 0u);
  EXPECT_NE(failure([&] { save_snapshot({}, path("no/such/folder")); }, ExitCode::kCannotWrite), "");
}

TEST_F(SnapshotFile, InspectionNamesTheDamagedPart) {
  save_snapshot(random_snapshot(12, 500), path());
  Bytes bytes = read();
  forge(bytes, [&](PartEntry& part, Bytes& file) {
    if (part.id == kPartIdTarget) bytes[part.offset + part.stored / 2] ^= 1;
    static_cast<void>(file);
  });
  write(bytes);

  const SnapshotInfo info = inspect_snapshot(path());

  EXPECT_FALSE(info.intact);
  for (const PartInfo& part : info.parts) EXPECT_EQ(part.intact, part.name != "target") << part.name;
  EXPECT_NE(failure([&] { load_snapshot(path(), kPartsTree); }).find("part \"target\""), std::string::npos);
  EXPECT_EQ(failure([&] { load_snapshot(path(), kPartTypes); }), "");
}

}  // namespace
}  // namespace memsnap
