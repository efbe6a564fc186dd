#include "inject/control/left_tracking.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <set>
#include <span>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/stopped_process.h"
#include "attach/tracer_thread.h"
#include "inject/control/got_patches.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMostJournal = 1u << 20;
constexpr std::uint64_t kMostPages = 1u << 12;  // of executable memory without a file, looked at for an image

std::string tables_name() { return fmt::format("/memfd:{}", kAgentName); }

void each_process(const std::function<void(pid_t)>& visit) {
  DIR* const directory = ::opendir("/proc");
  if (directory == nullptr) return;
  while (const dirent* const entry = ::readdir(directory)) {
    const auto pid = static_cast<pid_t>(std::strtol(static_cast<const char*>(entry->d_name), nullptr, 10));
    if (pid > 0) visit(pid);
  }
  ::closedir(directory);
}

// Descriptors of a process that are open on tables: of one file, or of any when `inode` is 0.
std::vector<int> open_tables(pid_t pid, std::uint64_t inode) {
  std::vector<int> found;
  const std::string folder = fmt::format("/proc/{}/fd", pid);
  DIR* const directory = ::opendir(folder.c_str());
  if (directory == nullptr) return found;
  while (const dirent* const entry = ::readdir(directory)) {
    const std::string path = folder + "/" + static_cast<const char*>(entry->d_name);
    std::array<char, 64> name{};
    struct stat status {};
    if (::readlink(path.c_str(), name.data(), name.size() - 1) < 0) continue;
    if (!std::string_view(name.data()).starts_with(tables_name()) || ::stat(path.c_str(), &status) != 0) continue;
    if (inode == 0 || status.st_ino == inode)
      found.push_back(static_cast<int>(std::strtol(static_cast<const char*>(entry->d_name), nullptr, 10)));
  }
  ::closedir(directory);
  return found;
}

// The process that its header names, when it has the tables open, or another user's when that cannot be seen.
pid_t keeper_of(const AgentHeader& header, std::uint64_t inode) {
  const auto pid = static_cast<pid_t>(header.keeper_pid);
  if (pid <= 0 || header.keeper_pid >= 1u << 30) return 0;
  const std::string folder = fmt::format("/proc/{}/fd", pid);
  const bool hidden = ::access(folder.c_str(), F_OK) == 0 && ::access(folder.c_str(), R_OK | X_OK) != 0;
  return hidden || !open_tables(pid, inode).empty() ? pid : 0;
}

// The image's place, when there is one.
bool find_image(const MemoryMap& map, const ProcessMemory& memory, std::uint64_t begin, AgentPlace& place) {
  const auto image = AgentImage::read(memory, begin);
  if (!image || !image->symbol("memsnap_agent_config")) return false;
  place.image_begin = begin;
  place.image_end = begin + image->size();
  const Mapping* const behind = map.find(place.image_end);
  const bool is_control = behind != nullptr && behind->inode == 0 && behind->writable && !behind->shared;
  place.control = is_control ? place.image_end : 0;
  return true;
}

// One that was mapped but not yet written.
bool is_blank(const MemoryMap& map, const ProcessMemory& memory, std::uint64_t begin, std::uint64_t end) {
  const Mapping* const mapping = map.find(begin);
  if (begin >= end || mapping == nullptr || mapping->begin != begin || mapping->inode != 0 || !mapping->executable)
    return false;
  std::vector<std::byte> bytes(kPageSize);
  for (std::uint64_t at = begin; at < mapping->end && at - begin < kMostPages * kPageSize; at += kPageSize) {
    if (!memory.copy(at, bytes)) return false;
    if (std::any_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte != std::byte{0}; })) return false;
  }
  return mapping->end <= end + kPageSize;
}

FoundAgent read_tables(const Mapping& mapping, const MemoryMap& map, const ProcessMemory& memory) {
  FoundAgent agent;
  agent.tables = mapping.inode;
  agent.place.shared_begin = mapping.begin;
  agent.place.shared_end = mapping.end;
  const auto header = memory.try_read<AgentHeader>(mapping.begin);
  if (!header || header->magic == 0) return agent;  // it did not get that far
  agent.same_version = header->magic == kAgentMagic && header->abi == kAgentAbiVersion;
  agent.keeper = keeper_of(*header, mapping.inode);
  agent.period = header->period;
  agent.began_ns = header->began_ns;
  if (!agent.same_version || header->image_begin % kPageSize != 0 || header->image_end % kPageSize != 0) return agent;
  if (find_image(map, memory, header->image_begin, agent.place)) return agent;
  if (is_blank(map, memory, header->image_begin, header->image_end)) {
    agent.place.image_begin = header->image_begin;
    agent.place.image_end = header->image_end + kPageSize;  // mapped as one with its control page
  }
  return agent;
}

std::vector<AgentPatch> read_journal(const FoundAgent& agent, const ProcessMemory& memory) {
  std::vector<AgentPatch> patches;
  const auto header = memory.try_read<AgentHeader>(agent.place.shared_begin);
  if (!header || !agent.same_version) return patches;
  const std::uint64_t size = agent.place.shared_end - agent.place.shared_begin;
  const AgentSection& section = header->sections.patches;
  const std::uint64_t count = std::min({header->patch_count, section.capacity, kMostJournal});
  if (section.offset > size || count > (size - section.offset) / sizeof(AgentPatch)) return patches;
  patches.resize(count);
  if (!memory.copy(agent.place.shared_begin + section.offset, std::as_writable_bytes(std::span(patches)))) return {};
  return patches;
}

// In one stop, by the target itself: what no hook leads to.
void take_remains(const ProcessId& target, const AgentPlace& place, const std::vector<int>& files,
                  const StopLimits& limits, TrackingEnd& end) {
  const MemoryMap map = MemoryMap::of(target.pid());
  const auto gadgets = find_gadgets(map, LiveMemory(target.pid()));
  std::string why = "its program has no system call instruction that could be used";
  TracerThread tracer;
  const bool done = gadgets && tracer.run([&] {
    StoppedProcess stopped(target, {.wait = limits.wait, .longest = limits.max_pause});
    const auto thread = borrow_thread(target.pid(), stopped.stopped(), map, *gadgets, &why);
    if (!thread) return false;
    bool all = unmap_agent(*thread, place, true, &why);
    const std::vector<int> still = open_tables(target.pid(), 0);
    for (const int file : files) {
      if (std::find(still.begin(), still.end(), file) != still.end())
        all = thread->call(SYS_close, {static_cast<std::uint64_t>(file)}).value == 0 && all;
    }
    return thread->restore() && all;
  });
  if (!done) end.left_behind.push_back(fmt::format("memory of an earlier memsnap in {}: {}", target.pid(), why));
}

void merge(TrackingEnd& into, TrackingEnd&& from) {
  into.left_behind.insert(into.left_behind.end(), from.left_behind.begin(), from.left_behind.end());
  into.unhook_pause = std::max(into.unhook_pause, from.unhook_pause);
  into.proof_pause = std::max(into.proof_pause, from.proof_pause);
  into.unmap_pause = std::max(into.unmap_pause, from.unmap_pause);
  into.proofs += from.proofs;
  into.patches_undone += from.patches_undone;
  into.patches_foreign += from.patches_foreign;
}

TrackingEnd end_agent(const ProcessId& target, const FoundAgent& agent, const StopLimits& limits, Log& log) {
  TrackingEnd end;
  if (!agent.same_version) {
    end.left_behind.push_back(fmt::format("tables at {:#x} in {} are of another version of memsnap: end it with that",
                                          agent.place.shared_begin, target.pid()));
    return end;
  }
  const WritableMemory memory(target.pid());
  const MemoryMap map = MemoryMap::of(target.pid());
  const auto image = AgentImage::read(memory, agent.place.image_begin);
  if (agent.place.image_begin == 0 || !image) {
    take_remains(target, agent.place, {}, limits, end);
    return end;
  }
  std::vector<AgentPatch> patches = agent.tables != 0 ? read_journal(agent, memory) : std::vector<AgentPatch>();
  if (patches.empty()) patches = hooked_words(target.pid(), map, memory, agent.place.image_begin, *image);
  return unload_agent(
      {.target = target, .memory = memory, .place = agent.place, .patches = patches, .has_tables = agent.tables != 0},
      limits, log);
}

}  // namespace

std::vector<FoundAgent> find_agents(pid_t pid) {
  const MemoryMap map = MemoryMap::of(pid);
  const LiveMemory memory(pid);
  std::vector<FoundAgent> found;
  for (const Mapping& mapping : map.mappings()) {
    if (mapping.shared && mapping.name.starts_with(tables_name())) found.push_back(read_tables(mapping, map, memory));
  }
  std::uint64_t pages = 0;
  for (const Mapping& mapping : map.mappings()) {
    if (mapping.inode != 0 || !mapping.executable || mapping.writable || !mapping.name.empty()) continue;
    for (std::uint64_t at = mapping.begin; at < mapping.end && pages < kMostPages; at += kPageSize, ++pages) {
      const bool known = std::any_of(found.begin(), found.end(),
                                     [&](const FoundAgent& agent) { return agent.place.image_begin == at; });
      FoundAgent alone;
      if (!known && find_image(map, memory, at, alone.place)) found.push_back(alone);
    }
  }
  return found;
}

std::optional<TrackingEnd> end_left_tracking(const ProcessId& target, const StopLimits& limits, Log& log,
                                             bool even_if_kept) {
  const std::vector<FoundAgent> agents = find_agents(target.pid());
  for (const FoundAgent& agent : agents) {
    if (agent.keeper == 0 || even_if_kept) continue;
    throw Error(ExitCode::kBusy,
                fmt::format("process {} is being tracked by memsnap, pid {}", target.pid(), agent.keeper),
                fmt::format("end that first: memsnap detach {}", target.pid()));
  }
  const std::vector<int> files = open_tables(target.pid(), 0);
  if (agents.empty() && files.empty()) return std::nullopt;
  TrackingEnd end;
  for (const FoundAgent& agent : agents) {
    merge(end, end_agent(target, agent, limits, log));
    if (agent.place.image_begin != 0)
      end_in_descendants(target.pid(), agent.place, target.start_time(), limits, log, end);
  }
  if (!files.empty()) take_remains(target, {}, files, limits, end);
  log.info("left_tracking", fmt::format("an earlier memsnap had left its agent in {}: {}", target.pid(),
                                        end.left_behind.empty() ? "taken out" : "not all of it could be taken out"));
  return end;
}

std::vector<pid_t> tracked_descendants(pid_t tracked, const AgentPlace& place, std::uint64_t since_start_time) {
  std::vector<pid_t> found;
  each_process([&](pid_t pid) {
    if (pid == tracked || pid == ::getpid()) return;
    try {
      if (ProcessId::open(pid).start_time() < since_start_time) return;
      const MemoryMap map = MemoryMap::of(pid);
      const Mapping* const mapping = map.find(place.image_begin);
      if (mapping == nullptr || mapping->inode != 0 || !mapping->executable) return;
      // The same memory (vfork), or a frozen copy that is being looked at.
      const Mapping* const tables = map.find(place.shared_begin);
      if (tables != nullptr && tables->name.starts_with(tables_name())) return;
      std::string name;
      std::getline(std::ifstream(fmt::format("/proc/{}/comm", pid)), name);
      AgentPlace its;
      if (name != kChildName && find_image(map, LiveMemory(pid), place.image_begin, its)) found.push_back(pid);
    } catch (const Error&) {  // it ended, or is not ours to look at
    }
  });
  return found;
}

void end_in_descendants(pid_t tracked, const AgentPlace& place, std::uint64_t since_start_time,
                        const StopLimits& limits, Log& log, TrackingEnd& end) {
  constexpr int kRounds = 5;
  std::set<pid_t> seen;
  for (int round = 0; round < kRounds; ++round) {
    bool any = false;
    for (const pid_t pid : tracked_descendants(tracked, place, since_start_time)) {
      if (!seen.insert(pid).second) continue;
      any = true;
      try {
        const ProcessId child = ProcessId::open(pid);
        FoundAgent agent;
        if (find_image(MemoryMap::of(pid), LiveMemory(pid), place.image_begin, agent.place))
          merge(end, end_agent(child, agent, limits, log));
      } catch (const Error& error) {
        if (error.code() == ExitCode::kNoSuchProcess) continue;
        end.left_behind.push_back(
            fmt::format("the agent in process {}, forked from {}: {}", pid, tracked, error.what()));
      }
    }
    if (!any) return;
  }
}

}  // namespace memsnap
