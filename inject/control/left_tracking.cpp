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
#include "inject/control/keeper.h"
#include "inject/control/lease_clock.h"

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

// A memsnap that holds tables has their beginning mapped; whom they are of, all of them.
bool is_view_of_memsnap(const Mapping& mapping, const MemoryMap& map, const ProcessMemory& memory) {
  const auto header = memory.try_read<AgentHeader>(mapping.begin);
  if (!header || header->magic != kAgentMagic) return false;
  std::uint64_t mapped = 0;
  for (const Mapping& other : map.mappings()) {
    if (other.shared && other.inode == mapping.inode && other.device == mapping.device) mapped += other.size();
  }
  return mapped < header->size;
}

FoundAgent read_tables(const Mapping& mapping, const MemoryMap& map, const ProcessMemory& memory) {
  FoundAgent agent;
  agent.tables = mapping.inode;
  agent.place.shared_begin = mapping.begin;
  agent.place.shared_end = mapping.end;
  const auto header = memory.try_read<AgentHeader>(mapping.begin);
  if (!header || header->magic == 0) return agent;  // it did not get that far
  agent.same_version = header->magic == kAgentMagic && header->abi == kAgentAbiVersion;
  const Keeper keeper = find_keeper(*header, mapping.inode);
  agent.keeper = keeper.pid;
  agent.kept_elsewhere = keeper.elsewhere;
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
    const bool tables = mapping.shared && mapping.name.starts_with(tables_name());
    if (tables && !is_view_of_memsnap(mapping, map, memory)) found.push_back(read_tables(mapping, map, memory));
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

bool is_recording(pid_t pid, const AgentPlace& place) {
  if (place.control == 0) return false;
  const auto control = LiveMemory(pid).try_read<AgentControl>(place.control);
  return control && control->mode == static_cast<std::uint32_t>(AgentMode::kRecord) &&
         control->lease_tsc > LeaseClock::now();
}

bool is_lease_renewed(pid_t pid, const AgentPlace& place) {
  constexpr useconds_t kPause = 50000;
  constexpr std::chrono::milliseconds kLongest{3500};  // between two renewals: a quarter of a lease, and some more
  if (!is_recording(pid, place)) return false;
  const LiveMemory memory(pid);
  const auto lease = [&] { return memory.try_read<AgentControl>(place.control).value_or(AgentControl{}).lease_tsc; };
  const std::uint64_t first = lease();
  const auto deadline = std::chrono::steady_clock::now() + kLongest;
  while (std::chrono::steady_clock::now() < deadline) {
    ::usleep(kPause);
    const std::uint64_t now = lease();
    if (now != first) return now != 0;
  }
  return false;
}

void require_not_kept(pid_t pid, const std::vector<FoundAgent>& agents) {
  for (const FoundAgent& agent : agents) {
    if (agent.keeper != 0) {
      throw Error(ExitCode::kBusy, fmt::format("process {} is being tracked by memsnap, pid {}", pid, agent.keeper),
                  fmt::format("end that first: memsnap detach {}", pid));
    }
    if (agent.kept_elsewhere && is_lease_renewed(pid, agent.place)) {
      throw Error(ExitCode::kBusy,
                  fmt::format("process {} is being tracked by a memsnap of another pid namespace (container)", pid),
                  "end it there: memsnap detach");
    }
  }
}

FileDescriptor open_for_reading(pid_t pid, const FoundAgent& agent) {
  std::vector<std::string> paths;
  if (agent.keeper != 0) {
    for (const int file : open_tables(agent.keeper, agent.tables))
      paths.push_back(fmt::format("/proc/{}/fd/{}", agent.keeper, file));
  }
  paths.push_back(fmt::format("/proc/{}/map_files/{:x}-{:x}", pid, agent.place.shared_begin, agent.place.shared_end));
  for (const std::string& path : paths) {
    FileDescriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
    struct stat status {};
    if (file && ::fstat(file.get(), &status) == 0 && S_ISREG(status.st_mode) && status.st_ino == agent.tables)
      return file;
  }
  return {};
}

std::optional<TrackingEnd> end_left_tracking(const ProcessId& target, const StopLimits& limits, Log& log,
                                             bool even_if_kept) {
  const std::vector<FoundAgent> agents = find_agents(target.pid());
  if (!even_if_kept) require_not_kept(target.pid(), agents);
  std::vector<int> files = open_tables(target.pid(), 0);
  std::erase_if(files, [&](int file) { return is_of_memsnap(target.pid(), file); });
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

bool took_agent_along(pid_t pid, const AgentPlace& place) {
  try {
    const MemoryMap map = MemoryMap::of(pid);
    const Mapping* const mapping = map.find(place.image_begin);
    if (mapping == nullptr || mapping->inode != 0 || !mapping->executable) return false;
    // The same memory (vfork), or a frozen copy that is being looked at.
    const Mapping* const tables = map.find(place.shared_begin);
    if (tables != nullptr && tables->name.starts_with(tables_name())) return false;
    std::string name;
    std::getline(std::ifstream(fmt::format("/proc/{}/comm", pid)), name);
    AgentPlace its;
    return name != kChildName && find_image(map, LiveMemory(pid), place.image_begin, its);
  } catch (const Error&) {  // it ended, or is not ours to look at
    return false;
  }
}

std::optional<TrackingEnd> end_inherited(const ProcessId& child, const AgentPlace& place, const StopLimits& limits,
                                         Log& log) {
  FoundAgent agent;
  if (!took_agent_along(child.pid(), place)) return std::nullopt;
  if (!find_image(MemoryMap::of(child.pid()), LiveMemory(child.pid()), place.image_begin, agent.place))
    return std::nullopt;
  return end_agent(child, agent, limits, log);
}

std::vector<pid_t> tracked_descendants(pid_t tracked, const AgentPlace& place, std::uint64_t since_start_time) {
  std::vector<pid_t> found;
  each_process([&](pid_t pid) {
    if (pid == tracked || pid == ::getpid()) return;
    try {
      if (ProcessId::open(pid).start_time() < since_start_time) return;
      if (took_agent_along(pid, place)) found.push_back(pid);
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
        if (auto ended = end_inherited(ProcessId::open(pid), place, limits, log)) merge(end, std::move(*ended));
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
