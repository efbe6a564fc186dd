#include "report/cli/point_record.h"

#include <fmt/format.h>

#include "report/cli/files.h"
#include "report/cli/point_logs.h"
#include "report/cli/report_command.h"
#include "report/json_output.h"
#include "snapshot/session/measure_point.h"

namespace memsnap {
namespace {

MeasuredMemory memory_of(const SnapshotHeader& header) {
  MeasuredMemory memory;
  memory.time_ns = header.taken_at_ns;
  memory.rss = header.memory.rss;
  memory.pss = header.memory.pss;
  memory.uss = header.memory.uss;
  memory.object_bytes = header.bytes;
  memory.objects = header.objects;
  memory.pause_ns = static_cast<std::int64_t>(header.pause_ms * 1e6);
  return memory;
}

}  // namespace

void check_point_texts(const std::string& id, const std::string& note) {
  require_point_id(id);
  if (!is_utf8(id)) throw Error(ExitCode::kUsage, "the id of a point is not UTF-8", "");
  if (!is_utf8(note)) throw Error(ExitCode::kUsage, "the note of a point is not UTF-8", "");
  if (note.size() <= kLongestNote) return;
  throw Error(ExitCode::kUsage, fmt::format("--note has {} bytes at most", kLongestNote), "");
}

std::string default_point_log(const Invocation& invocation, const ProcessKey& process) {
  const std::string directory = directory_of_snapshots(invocation.options);
  make_private_directory(directory);
  return point_log_path(directory, process);
}

void record_snapshot_point(const Invocation& invocation, const SnapshotHeader& header, const std::string& id) {
  PointToMake wanted;
  wanted.process = {header.target.host, boot_id(), header.target.pid, header.target.start_time};
  wanted.name = header.target.name;
  wanted.id = id;
  wanted.first_id = kFirstPointId;
  wanted.measure = [&header] { return memory_of(header); };
  PointLogOptions how;
  how.cancelled = invocation.cancelled;
  const std::string path = default_point_log(invocation, wanted.process);
  const MemoryPoint made = PointLog::for_writing(path, how).append(wanted).back();
  invocation.log.info("point", fmt::format("point '{}' in {}", made.id, path));
}

}  // namespace memsnap
