#include "tests/unit/report/planted.h"

namespace memsnap {
namespace {

void add_type(Snapshot& snapshot, std::string_view name, std::uint64_t count, std::uint64_t size,
              std::uint64_t retained) {
  TypeEntry type;
  type.name = snapshot.graph.strings.add(name);
  type.count = count;
  type.size = size;
  type.retained = retained;
  snapshot.graph.types.push_back(type);
  snapshot.header.objects += count;
  snapshot.header.bytes += size;
}

}  // namespace

Snapshot shop_snapshot() {
  Snapshot snapshot;
  SnapshotHeader& header = snapshot.header;
  header.tool_version = "0.1.0";
  header.taken_at_ns = 1795227304'000'000'000;  // 2026-11-21T02:15:04Z
  header.target.pid = 4242;
  header.target.start_time = 991;
  header.target.host = "web-3";
  header.target.name = "gunicorn: worker [shop]";
  header.target.command_line = "gunicorn: worker [shop]";
  header.target.executable = "/usr/bin/python3.12";
  header.target.user = "www";
  header.target.python = "3.12.1";
  header.target.uptime_seconds = 3 * 86400 + 4 * 3600 + 59;
  header.target.threads = 18;
  header.memory = {1406529536, 1390000000, 1360000000, 640678000};
  header.memory.parts = {{kPartObjects, 640678000},    {kPartPymallocFree, 222298112}, {kPartMallocInUse, 113246208},
                         {kPartMallocFree, 315621376}, {kPartStacks, 2097152},         {kPartFiles, 101478480},
                         {kPartShared, 1048576},       {kPartOther, 10061632}};
  header.memory.allocator = "glibc";
  header.memory.trimmable = 251658240;
  header.memory.pymalloc_arenas = 792;
  header.memory.pymalloc_resident = 830472192;
  header.memory.native_blocks = 90210;
  header.memory.parts_ms = 81.5;
  header.memory.parts_cpu_ms = 80.25;
  header.method = "freeze";
  header.pause_ms = 9.8;
  header.walk_ms = 612.5;
  header.walk_cpu_ms = 590;
  header.child_cpu_ms = 401;
  header.edges = 9000;
  add_type(snapshot, "shop.cart.Session", 402118, 19301664, 236249088);
  add_type(snapshot, "builtins.dict", 611204, 179411200, 272839475);
  add_type(snapshot, "builtins.str", 1200000, 90000000, 90000000);
  add_type(snapshot, "builtins.NoneType", 1, 16, 16);
  return snapshot;
}

Snapshot planted_snapshot() {
  Snapshot snapshot = shop_snapshot();
  SnapshotHeader& header = snapshot.header;
  header.target.host = kC1;
  header.target.name = kLink;
  header.target.command_line = kLines;
  header.target.executable = std::string("/tmp/") + std::string(kNotUtf8);
  header.target.user = kRed;
  header.target.container = kBidi;
  header.target.python = kRed;
  header.partial = true;
  header.consistent = false;
  header.fallback_reason = kRed;
  header.unreadable = 3;
  header.skipped = 2;
  header.skipped_types = {{std::string(kBidi), 2, 0}};
  header.orphans = 12;
  header.orphan_bytes = 1229;
  header.python_sizeof_types = {{std::string(kLink), 5, 0}};
  header.warnings = {std::string(kLines)};
  header.suspects = {{std::string(kBidi), std::string(kRed), 0x7f00, 90000000, std::string(kLink), 12, 80000000},
                     {"", std::string(kLines), 0, 70000000, std::string(kLines), 1200, 70000000},
                     {std::string(kC1), std::string(kNotUtf8), 0x7f10, 60000000, std::string(kNotUtf8), 0, 0}};
  add_type(snapshot, kRed, 7, 700, 7000);
  add_type(snapshot, kLink, 6, 600, 6000);
  add_type(snapshot, kBidi, 5, 500, 5000);
  add_type(snapshot, kLines, 4, 400, 4000);
  add_type(snapshot, kNotUtf8, 3, 300, 3000);
  add_type(snapshot, kC1, 2, 200, 2000);
  add_type(snapshot, kCsv, 1, 100, 1000);
  return snapshot;
}

Tree planted_tree() {
  TreeNode entries;
  entries.label = "[*]";
  entries.type = "shop.cart.Entry";
  entries.count = 402118;
  entries.size = 19301664;
  entries.retained = 219465574;
  entries.folded = true;

  TreeNode cache;
  cache.label = ".CACHE";
  cache.type = "builtins.dict";
  cache.count = 1;
  cache.size = 20971624;
  cache.retained = 222087000;
  cache.children = {entries};
  cache.hidden_count = 62;
  cache.hidden_retained = 314572;

  TreeNode red;
  red.label = "['" + std::string(kRed) + "']";
  red.type = kBidi;
  red.note = kLink;
  red.count = 1;
  red.size = 100;
  red.retained = 9000000;

  TreeNode module;
  module.label = "module " + std::string(kLines);
  module.type = "builtins.module";
  module.count = 1;
  module.size = 72;
  module.retained = 232087000;
  module.children = {cache, red};

  TreeNode thread;
  thread.label = "thread " + std::string(kNotUtf8);
  thread.count = 1;
  thread.retained = 60000000;

  Tree tree;
  tree.key = "nodes";
  tree.total = 640678000;
  tree.roots = {module, thread};
  tree.hidden_count = 3;
  tree.hidden_retained = 4096;
  return tree;
}

}  // namespace memsnap
