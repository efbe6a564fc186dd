// make_capture FOLDER: writes files of a tracked process whose figures the tests of the command line know.
//   allocations.msnap   who allocated what
//   later.msnap         the same, and grow() has allocated more
//   both.msnap          the same as the first, and three objects, two of which know where they were allocated
#include <string>
#include <utility>

#include "snapshot/analysis/retained.h"
#include "snapshot/store/snapshot_file.h"
#include "tests/unit/analysis/fake_graph.h"
#include "tests/unit/model/fake_profile.h"

namespace memsnap {
namespace {

Snapshot capture(std::uint64_t grown) {
  FakeProfile made;
  const std::uint32_t thread = made.thread(4242, "MainThread");
  const FrameIndex module = made.frame("<module>", "/srv/app.py", 30, 1);
  const FrameIndex main = made.frame("main", "/srv/app.py", 21, 20);
  const FrameIndex importing = made.frame("_find_and_load", "<frozen importlib._bootstrap>", 7, 7);
  const FrameIndex grow = made.frame("grow", "/srv/app.py", 12, 10);
  const FrameIndex lose = made.frame("lose", "/srv/app.py", 16, 15);
  made.row(made.stack({module, main, grow}), {100, grown}, {100, grown}, {100, grown}, 0, thread);
  made.row(made.stack({module, main, importing, lose}), {50, 500'000}, {}, {1, 10'000}, 49, thread, 1);
  made.slice(10, 50'000'000, {{0, 100, grown, 100, static_cast<std::int64_t>(grown)}, {1, 50, 500'000, 0, 0}});
  made.profile.sizes[14] = 150;
  Snapshot snapshot;
  snapshot.header.kind = SnapshotKind::kAllocations;
  snapshot.header.taken_at_ns = made.profile.ended_ns;
  snapshot.header.target.pid = 4242;
  snapshot.header.target.name = "app.py";
  snapshot.header.target.python = "3.12.1";
  snapshot.profile = std::move(made.profile);
  return snapshot;
}

Snapshot with_objects(Snapshot snapshot) {
  FakeGraph fake;
  const NodeIndex module = fake.node("builtins.module", 72);
  const NodeIndex list = fake.node("builtins.list", 1'000);
  const NodeIndex item = fake.node("app.Item", 64);
  fake.root(module, RootKind::kModule, "app");
  fake.named(module, list, Label::kAttribute, "KEPT");
  fake.edge(list, item);
  snapshot.graph = fake.build();
  analyze(snapshot.graph);
  snapshot.graph.site = {0, 1, 1};
  snapshot.header.kind = SnapshotKind::kHeap;
  snapshot.header.method = "freeze";
  snapshot.header.objects = 3;
  snapshot.header.bytes = 1'136;
  return snapshot;
}

}  // namespace
}  // namespace memsnap

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::string folder = argv[1];
  memsnap::save_snapshot(memsnap::capture(1'000'000), folder + "/allocations.msnap");
  memsnap::save_snapshot(memsnap::capture(4'000'000), folder + "/later.msnap");
  memsnap::save_snapshot(memsnap::with_objects(memsnap::capture(1'000'000)), folder + "/both.msnap");
  return 0;
}
