#include "snapshot/session/tracked_tables.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "attach/base/error.h"
#include "attach/base/file_descriptor.h"
#include "snapshot/capture/allocation_sites.h"
#include "snapshot/capture/native_frames.h"
#include "snapshot/threads/tasks.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMostCopied = 1u << 30;

// More stacks than there is memory behind them: no agent says so, and believing it would cost gigabytes.
bool is_plausible(const TableReader& tables) {
  const AgentHeader& header = tables.header();
  const std::uint64_t nodes = std::min<std::uint64_t>(header.node_count, header.sections.nodes.capacity);
  return nodes * sizeof(AgentNode) <= tables.memory().written();
}

void write_all(int file, std::uint64_t offset, std::span<const std::byte> bytes, bool& failed) {
  while (!bytes.empty() && !failed) {
    const ssize_t done = ::pwrite(file, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    failed = done <= 0;
    if (failed) return;
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    offset += static_cast<std::uint64_t>(done);
  }
}

}  // namespace

std::optional<TrackedProcess> find_tracked(pid_t pid) {
  for (const FoundAgent& agent : find_agents(pid)) {
    if (agent.tables == 0 || !agent.same_version || !is_recording(pid, agent.place)) continue;
    FileDescriptor file = open_for_reading(pid, agent);
    if (!file) {
      throw Error(ExitCode::kNoPermission,
                  fmt::format("process {} is tracked by another memsnap, whose tables may not be opened", pid),
                  "run as root, or as the user of that memsnap");
    }
    TrackedProcess tracked{agent, TableReader(std::move(file))};
    if (!is_plausible(tracked.tables))
      throw Error(ExitCode::kBadFile, fmt::format("the tracking tables of process {} contradict themselves", pid), "");
    return tracked;
  }
  return std::nullopt;
}

std::optional<TableReader> copy_of(const TableReader& tables) {
  const SharedMemory& from = tables.memory();
  if (from.written() > kMostCopied) return std::nullopt;
  FileDescriptor file(::memfd_create("memsnap-copy", MFD_CLOEXEC));
  if (!file || ::ftruncate(file.get(), static_cast<off_t>(from.size())) != 0) return std::nullopt;
  bool failed = false;
  std::uint64_t copied = 0;
  const auto copy = [&](std::uint64_t offset, std::span<const std::byte> bytes) {
    copied += bytes.size();
    failed = failed || copied > 2 * kMostCopied;  // it grows while it is copied
    write_all(file.get(), offset, bytes, failed);
  };
  // Blocks before their stacks: what is newer than the blocks is not missed.
  const std::uint64_t blocks = std::min(from.size(), tables.header().sections.roots.offset);
  from.for_each_data(blocks, from.size(), copy);
  from.for_each_data(0, blocks, copy);
  if (failed) return std::nullopt;
  return TableReader(std::move(file));
}

SnapshotResult take_tracked_snapshot(SnapshotRequest request, const TableReader& tables, SliceRecorder& again,
                                     Log& log) {
  std::optional<TableReader> frozen;
  request.when_frozen = [&] {
    try {
      frozen = copy_of(tables);
    } catch (const Error& error) {
      log.info("tables", error.what());
    }
  };
  SnapshotResult result = take_snapshot(request, log);
  const TableReader& then = frozen ? *frozen : tables;
  for (const Task& task : read_tasks(request.pid)) {
    again.name_thread(static_cast<std::uint32_t>(task.inner_tid), task.name);
  }
  Snapshot& snapshot = result.snapshot;
  again.add(then.read(), snapshot.header.taken_at_ns, snapshot.header.memory.rss);
  if (snapshot.header.kind == SnapshotKind::kHeap) fill_allocation_sites(snapshot.graph, then, again.rows_of_sites());
  snapshot.profile = again.profile();
  return result;
}

SnapshotResult take_any_snapshot(const SnapshotRequest& request, Log& log) {
  std::optional<TrackedProcess> tracked;
  std::string why;
  try {
    tracked = find_tracked(request.pid);
  } catch (const Error& error) {
    if (error.code() == ExitCode::kNoSuchProcess) throw;
    why = error.what();
  }
  if (!tracked) {
    SnapshotResult result = take_snapshot(request, log);
    if (!why.empty()) result.snapshot.header.warnings.push_back("no allocations: " + why);
    return result;
  }
  NativeFrames native_frames(request.pid);
  SliceRecorder recorder(tracked->tables, native_frames.names());
  SnapshotResult result = take_tracked_snapshot(request, tracked->tables, recorder, log);
  if (auto left = native_frames.left_out()) result.snapshot.header.warnings.push_back(*std::move(left));
  return result;
}

}  // namespace memsnap
