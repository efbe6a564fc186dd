#include "report/cli/process_facts.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string_view>
#include <system_error>

#include "attach/base/file_descriptor.h"
#include "attach/cached_memory.h"
#include "attach/elf_image.h"
#include "attach/memory_map.h"
#include "snapshot/cpython/python_process.h"
#include "snapshot/session/target_info.h"

namespace memsnap {
namespace {

constexpr std::size_t kProbeCache = 16u << 20;

// "Uid" -> "1000 1000 1000 1000" of /proc/PID/status.
std::map<std::string, std::string> read_status(pid_t pid) {
  std::map<std::string, std::string> fields;
  std::ifstream file(fmt::format("/proc/{}/status", pid));
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::size_t value = line.find_first_not_of(" \t", colon + 1);
    fields[line.substr(0, colon)] = value == std::string::npos ? "" : line.substr(value);
  }
  return fields;
}

std::uint64_t number(const std::map<std::string, std::string>& fields, const std::string& name) {
  const auto field = fields.find(name);
  return field == fields.end() ? 0 : std::strtoull(field->second.c_str(), nullptr, 10);
}

// Lines "0::/system.slice/shop.service" of cgroups(7).
std::vector<std::string> cgroups_of(pid_t pid) {
  std::vector<std::string> paths;
  std::ifstream file(fmt::format("/proc/{}/cgroup", pid));
  for (std::string line; std::getline(file, line);) {
    const std::size_t second = line.find(':', line.find(':') + 1);
    if (second != std::string::npos) paths.push_back(line.substr(second + 1));
  }
  return paths;
}

std::string_view base_name(std::string_view path) { return path.substr(path.find_last_of('/') + 1); }

// A program that CPython was linked into, under whatever name.
bool embeds_python(pid_t pid) {
  try {
    const MemoryMap map = MemoryMap::of(pid);
    const auto images = loaded_images(pid, map, LiveMemory(pid));
    return !images.empty() && (images.front()->symbol("_PyRuntime") || images.front()->section(".PyRuntime"));
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

std::optional<ProcessFacts> read_process(pid_t pid) {
  const auto status = read_status(pid);
  const auto state = status.find("State");
  if (state == status.end() || state->second.empty() || state->second[0] == 'Z' || state->second[0] == 'X') {
    return std::nullopt;
  }
  if (status.count("VmSize") == 0) return std::nullopt;  // a kernel thread has no memory of its own
  ProcessFacts facts;
  facts.info = read_target_info(pid);
  facts.parent = static_cast<pid_t>(number(status, "PPid"));
  facts.uid = static_cast<std::uint32_t>(number(status, "Uid"));
  facts.rss = number(status, "VmRSS") * 1024;
  facts.threads = static_cast<std::uint32_t>(number(status, "Threads"));
  facts.tracer = static_cast<pid_t>(number(status, "TracerPid"));
  facts.seccomp = static_cast<int>(number(status, "Seccomp"));
  facts.state = state->second[0];
  facts.cgroups = cgroups_of(pid);
  return facts;
}

std::vector<std::pair<pid_t, pid_t>> all_processes() {
  std::vector<std::pair<pid_t, pid_t>> processes;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename();
    pid_t pid = 0;
    const auto parsed = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (parsed.ec != std::errc() || parsed.ptr != name.data() + name.size()) continue;
    const auto status = read_status(pid);
    if (!status.empty()) processes.emplace_back(pid, static_cast<pid_t>(number(status, "PPid")));
  }
  return processes;
}

bool looks_like_python(const ProcessFacts& process) {
  const std::string_view program = base_name(process.info.executable);
  if (program.find("python") != std::string_view::npos) return true;
  std::ifstream maps(fmt::format("/proc/{}/maps", process.info.pid));
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/libpython") != std::string::npos) return true;
  }
  if (!process.info.executable.empty()) return embeds_python(process.info.pid);
  // Neither can be read of another user's process: its command line can.
  const std::string_view command = process.info.command_line;
  return base_name(command.substr(0, command.find(' '))).find("python") != std::string_view::npos;
}

bool may_attach(pid_t pid) {
  const FileDescriptor memory(::open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC));
  return static_cast<bool>(memory);
}

PythonFacts read_python(pid_t pid) {
  try {
    const MemoryMap map = MemoryMap::of(pid);
    const LiveMemory live(pid);
    const CachedMemory memory(live, map, kProbeCache);
    return {find_python(pid, loaded_images(pid, map, live), memory).version.text(), std::nullopt};
  } catch (const Error& error) {
    return {"", error};
  }
}

}  // namespace memsnap
