#include "snapshot/session/measure_point.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

#include "attach/base/error.h"
#include "attach/base/file_descriptor.h"
#include "attach/memory_map.h"
#include "snapshot/session/take_snapshot.h"

namespace memsnap {
namespace {

constexpr std::chrono::seconds kPatience{60};       // for another memsnap, which holds a process for milliseconds
constexpr std::chrono::seconds kPatienceUnseen{2};  // for one that was gone when it was looked for
constexpr std::chrono::milliseconds kBetweenTries{5};

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

pid_t tracer_of(pid_t pid) {
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  const std::string key = "TracerPid:";
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(key)) return static_cast<pid_t>(std::strtol(line.c_str() + key.size(), nullptr, 10));
  }
  return 0;
}

// Its tracer is another memsnap, or has just gone: both mean that the process is soon free.
bool is_soon_free(pid_t pid) {
  const pid_t tracer = tracer_of(pid);
  return tracer == 0 || first_line(fmt::format("/proc/{}/comm", tracer)) == first_line("/proc/self/comm");
}

// The kernel would let us attach, by its own answer for /proc/PID/mem, which asks the same. It refused, so somebody
// else held the process, and was gone when it was looked who.
bool was_held_meanwhile(pid_t pid) {
  return static_cast<bool>(FileDescriptor(::open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC))) &&
         is_soon_free(pid);
}

std::int64_t now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

SnapshotResult take_totals(const ProcessId& process, const PointMeasureRequest& request, Log& log) {
  SnapshotRequest wanted;
  wanted.pid = process.pid();
  wanted.start_time = process.start_time();
  wanted.freeze = request.freeze;
  wanted.kind = SnapshotKind::kSession;
  wanted.totals_only = true;
  wanted.strings = StringsPolicy::kNone;
  wanted.cancelled = request.cancelled;
  const auto begin = std::chrono::steady_clock::now();
  for (;;) {
    try {
      return take_snapshot(wanted, log);
    } catch (const Error& error) {
      const auto waited = std::chrono::steady_clock::now() - begin;
      const bool held = error.code() == ExitCode::kBusy && waited < kPatience && is_soon_free(process.pid());
      const bool was_held =
          error.code() == ExitCode::kNoPermission && waited < kPatienceUnseen && was_held_meanwhile(process.pid());
      if ((!held && !was_held) || (request.cancelled && request.cancelled())) throw;
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
}

}  // namespace

std::string boot_id() { return first_line("/proc/sys/kernel/random/boot_id"); }

ProcessKey process_key(const ProcessId& process) {
  std::array<char, 256> host{};
  ProcessKey key;
  if (::gethostname(host.data(), host.size() - 1) == 0) key.host = host.data();
  key.boot = boot_id();
  key.pid = process.pid();
  key.start_time = process.start_time();
  return key;
}

PointMeasure measure_point(const ProcessId& process, const PointMeasureRequest& request, Log& log) {
  PointMeasure measure;
  MeasuredMemory& memory = measure.memory;
  memory.time_ns = now_ns();
  const MemoryUse use = read_memory_use(process.pid());
  memory.rss = use.rss;
  memory.pss = use.pss;
  memory.uss = use.uss;
  process.require_alive();
  if (!request.objects) return measure;
  SnapshotResult result = take_totals(process, request, log);
  const SnapshotHeader& header = result.snapshot.header;
  memory.object_bytes = header.bytes;
  memory.objects = header.objects;
  memory.pause_ns = static_cast<std::int64_t>(header.pause_ms * 1e6);
  for (const std::string& warning : header.warnings) log.warning("caveat", warning);
  if (header.target.start_time != process.start_time()) process.require_alive();
  measure.left_behind = std::move(result.left_behind);
  return measure;
}

}  // namespace memsnap
