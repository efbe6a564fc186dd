#include "snapshot/session/take_core_snapshot.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <sstream>
#include <utility>
#include <vector>

#include "attach/base/error.h"
#include "attach/core_arguments.h"
#include "attach/core_process.h"
#include "attach/native_symbols.h"
#include "snapshot/cpython/python_process.h"
#include "snapshot/session/target_info.h"
#include "snapshot/session/walked_heap.h"
#include "snapshot/threads/thread_reader.h"

namespace memsnap {
namespace {

constexpr std::size_t kFilesNamed = 8;  // of those that were not found
constexpr const char* kWhereToLook =
    "give the program with --exe FILE, or the tree of files it ran from with --sysroot DIR";

std::string base_name(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

std::string text_of(const MissingFile& missing) {
  std::string text = fmt::format("no file for {} ({})", missing.path,
                                 missing.build_id.empty() ? "no build id" : "build id " + missing.build_id);
  for (const std::string& refused : missing.refused) text += fmt::format("; {}", refused);
  return text;
}

// Why a core cannot be read as a Python's: what is missing comes first, since it may be all that is wrong.
[[noreturn]] void refuse(const CoreFile& core, const CoreProcess& process, const Error& error) {
  const auto matters = [&](const MissingFile& missing) {
    const std::string name = base_name(missing.path);
    return missing.path == process.program() || name.starts_with("python") || name.starts_with("libpython");
  };
  std::string wanted;
  for (const MissingFile& missing : process.missing()) {
    if (matters(missing)) wanted += (wanted.empty() ? "" : "; ") + text_of(missing);
  }
  if (!wanted.empty()) throw Error(ExitCode::kBadFile, fmt::format("{}: {}", core.path(), wanted), kWhereToLook);
  if (core.bytes_cut_off() != 0) {
    throw Error(ExitCode::kBadFile,
                fmt::format("{}: cut off, {} bytes are missing; {}", core.path(), core.bytes_cut_off(), error.what()),
                "copy it again, or raise the limit for the next one: ulimit -c, or its filesystem's space");
  }
  throw Error(error.code(), fmt::format("{}: {}", core.path(), error.what()),
              "give the core of a process that ran CPython 3.8 to 3.15");
}

// gdb to version 16 leaves out a stack whose guard page the C library made by madvise(2).
std::size_t empty_stacks(const CoreFile& core, const CoreProcess& process) {
  std::size_t empty = 0;
  for (const CoreThread& thread : core.process().threads) {
    const auto words = process.memory().try_read<std::array<std::uint64_t, 16>>(thread.registers.rsp);
    const auto is_zero = [](std::uint64_t word) { return word == 0; };
    if (!words || std::all_of(words->begin(), words->end(), is_zero)) ++empty;
  }
  return empty;
}

void add_doubts(SnapshotHeader& header, const CoreFile& core, const CoreProcess& process) {
  std::size_t named = 0;
  for (const MissingFile& missing : process.missing()) {
    if (named++ < kFilesNamed) header.warnings.push_back(text_of(missing) + ": objects in it are not seen");
  }
  if (named > kFilesNamed) header.warnings.push_back(fmt::format("{} more files not found", named - kFilesNamed));
  for (const std::string& path : process.unproven()) {
    header.warnings.push_back(fmt::format("{} was taken by its name: the core has no build id of it", path));
  }
  if (const std::size_t empty = empty_stacks(core, process); empty != 0) {
    header.warnings.push_back(
        fmt::format("the core has nothing of the stacks of {} threads: frames are missing", empty));
  }
  if (core.bad_notes() != 0) header.warnings.push_back(fmt::format("{} damaged notes in the core", core.bad_notes()));
}

// What the threads did at the end. Names of the kernel's are not in a core: those Python gave are.
ThreadStacks stacks_of(const CoreFile& core, const CoreProcess& process, const PythonProcess& python,
                       const std::vector<std::unique_ptr<ElfImage>>& images, const SnapshotRequest& request,
                       SnapshotHeader& header) {
  std::vector<Task> tasks;
  std::vector<HeldThread> held;
  for (const CoreThread& thread : core.process().threads) {
    Task task{.tid = thread.tid, .inner_tid = thread.tid, .name = core.process().name};
    // As everywhere the main one first: a core begins with the thread that the signal ended.
    tasks.insert(thread.tid == core.process().pid ? tasks.begin() : tasks.end(), std::move(task));
    held.push_back({thread.tid, thread.registers});
  }
  ThreadReader reader(0, std::move(tasks));  // no process is asked for anything: its number may be another's by now
  reader.read(process.memory(), python, held);
  if (request.native) reader.unwind(process.memory(), process.map());
  NativeSymbols symbols(images);
  reader.name_native(symbols);
  if (auto left = symbols.left_out()) header.warnings.push_back(*std::move(left));
  return reader.finish();
}

}  // namespace

TargetInfo describe_target(const CoreFile& core) {
  const CoreProcessInfo& process = core.process();
  TargetInfo info;
  info.pid = process.pid;
  std::vector<std::string> arguments = arguments_on_stack(stored_memory(core), process.random_bytes);
  for (const std::string& argument : arguments) info.command_line += (info.command_line.empty() ? "" : " ") + argument;
  if (arguments.empty()) {
    info.command_line = process.arguments;
    std::istringstream words(process.arguments);
    for (std::string word; words >> word;) arguments.push_back(word);
  }
  info.name = arguments.empty() ? process.name : short_name(arguments);
  info.user = std::to_string(process.uid);  // names may differ between the machines
  info.threads = static_cast<std::uint32_t>(process.threads.size());
  return info;
}

Snapshot take_core_snapshot(const CoreFile& core, const CoreSearch& search, const SnapshotRequest& request, Log& log) {
  CoreProcess process(core, FileFinder(search.program, search.root));
  Snapshot snapshot;
  SnapshotHeader& header = snapshot.header;
  header.target = describe_target(core);
  header.target.executable = process.program();
  header.taken_at_ns = core.modified_ns();
  header.method = "core";
  header.partial = process.facts().partial;
  header.core.file = core.path();
  header.core.signal = core.process().signal;
  if (!core.process().threads.empty()) header.core.signal_thread = core.process().threads.front().tid;
  header.core.fault_address = core.process().fault_address;
  header.core.bytes_cut_off = core.bytes_cut_off();
  add_doubts(header, core, process);
  std::vector<Root> late_roots;
  try {
    const auto images = process.images();
    const PythonProcess python = find_python(core.process().pid, images, process.memory());
    std::array<std::uint64_t, 2> hash_key{};
    if (request.strings == StringsPolicy::kHash) {
      hash_key =
          process.memory().try_read<std::array<std::uint64_t, 2>>(core.process().random_bytes).value_or(hash_key);
    }
    snapshot.threads = stacks_of(core, process, python, images, request, snapshot.header);
    late_roots = walk_into(snapshot, process, python, request, hash_key, log);
  } catch (const Error& error) {
    if (error.code() != ExitCode::kUnsupported && error.code() != ExitCode::kInternal) throw;
    refuse(core, process, error);
  }
  analyse(snapshot, std::move(late_roots), log);
  return snapshot;
}

}  // namespace memsnap
