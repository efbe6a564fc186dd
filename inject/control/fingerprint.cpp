#include "inject/control/fingerprint.h"

#include <dirent.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iterator>
#include <string_view>

#include "attach/base/printable.h"
#include "attach/cached_memory.h"
#include "attach/stopped_process.h"
#include "inject/control/got_patches.h"
#include "inject/control/left_tracking.h"
#include "inject/protocol/agent_abi.h"

namespace memsnap {
namespace {

constexpr std::size_t kAllocatorWords = 5;  // PyMemAllocatorEx

std::map<std::string, std::string> open_files(pid_t pid) {
  std::map<std::string, std::string> files;
  const std::string folder = fmt::format("/proc/{}/fd", pid);
  DIR* const directory = ::opendir(folder.c_str());
  if (directory == nullptr) return files;
  while (const dirent* const entry = ::readdir(directory)) {
    const std::string number = static_cast<const char*>(entry->d_name);
    std::array<char, 512> name{};
    if (::readlink(fmt::format("{}/{}", folder, number).c_str(), name.data(), name.size() - 1) > 0)
      files[number] = name.data();
  }
  ::closedir(directory);
  return files;
}

Fingerprint::Signals read_signals(pid_t pid, pid_t tid) {
  std::ifstream file(fmt::format("/proc/{}/task/{}/status", pid, tid));
  Fingerprint::Signals signals;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("SigBlk:")) signals.blocked = line.substr(8);
    if (line.starts_with("SigIgn:")) signals.ignored = line.substr(8);
    if (line.starts_with("SigCgt:")) signals.caught = line.substr(8);
  }
  return signals;
}

std::string describe(const Mapping& mapping) {
  return fmt::format("{:#x}-{:#x} {}{}{}{} {}", mapping.begin, mapping.end, mapping.readable ? 'r' : '-',
                     mapping.writable ? 'w' : '-', mapping.executable ? 'x' : '-', mapping.shared ? 's' : 'p',
                     printable(mapping.name));
}

bool is_ours(std::string_view name) { return name.find(kAgentName) != std::string_view::npos; }

const Mapping* find(const std::vector<Mapping>& mappings, std::uint64_t address) {
  const auto found = std::find_if(mappings.begin(), mappings.end(), [&](const Mapping& mapping) {
    return address >= mapping.begin && address < mapping.end;
  });
  return found == mappings.end() ? nullptr : &*found;
}

bool is_file_code(const std::vector<Mapping>& mappings, std::uint64_t address) {
  const Mapping* const mapping = find(mappings, address);
  return mapping != nullptr && mapping->executable && mapping->inode != 0;
}

class Comparison {
 public:
  Comparison(const Fingerprint& before, const Fingerprint& after, bool still)
      : before_(before), after_(after), still_(still) {}

  std::vector<std::string> run() {
    mappings();
    files();
    threads();
    words();
    return std::move(found_);
  }

 private:
  void mappings() {
    const auto same = [](const Mapping& a, const Mapping& b) {
      return a.begin == b.begin && a.end == b.end && a.inode == b.inode && a.writable == b.writable &&
             a.executable == b.executable && a.readable == b.readable && a.shared == b.shared;
    };
    const auto has = [&](const std::vector<Mapping>& all, const Mapping& one) {
      return std::any_of(all.begin(), all.end(), [&](const Mapping& other) { return same(one, other); });
    };
    if (after_.agents > before_.agents) found_.push_back(fmt::format("{} agent(s) of memsnap", after_.agents));
    for (const Mapping& mapping : after_.mappings) {
      if (is_ours(mapping.name) || (still_ && !has(before_.mappings, mapping)))
        found_.push_back("new mapping: " + describe(mapping));
    }
    for (const Mapping& mapping : before_.mappings) {
      if (still_ && !has(after_.mappings, mapping)) found_.push_back("mapping gone: " + describe(mapping));
    }
  }

  void files() {
    for (const auto& [number, name] : after_.files) {
      const auto known = before_.files.find(number);
      const bool same = known != before_.files.end() && known->second == name;
      if (is_ours(name) || (still_ && !same))
        found_.push_back(fmt::format("descriptor {}: {}", number, printable(name)));
    }
    for (const auto& [number, name] : before_.files) {
      if (still_ && !after_.files.contains(number))
        found_.push_back(fmt::format("descriptor {} gone: {}", number, printable(name)));
    }
  }

  void threads() {
    for (const auto& [tid, was] : before_.threads) {
      const auto now = after_.threads.find(tid);
      if (now == after_.threads.end()) {
        if (still_) found_.push_back(fmt::format("thread {} gone", tid));
      } else if (still_ && (was.blocked != now->second.blocked || was.ignored != now->second.ignored ||
                            was.caught != now->second.caught)) {
        found_.push_back(fmt::format("signals of thread {}", tid));
      }
    }
    for (const auto& [tid, now] : after_.threads) {
      if (still_ && !before_.threads.contains(tid)) found_.push_back(fmt::format("new thread {}", tid));
    }
  }

  void words() {
    for (const auto& [address, now] : after_.function_words) {
      const auto was = before_.function_words.find(address);
      if (was == before_.function_words.end() || was->second == now) continue;
      // Bound by the loader meanwhile; what was bound before stays as it is.
      if (!is_file_code(after_.mappings, now)) found_.push_back(fmt::format("word at {:#x}: {:#x}", address, now));
    }
    for (const auto& [address, now] : after_.allocator_words) {
      const auto was = before_.allocator_words.find(address);
      if (was != before_.allocator_words.end() && was->second != now)
        found_.push_back(fmt::format("allocator word at {:#x}: {:#x}, was {:#x}", address, now, was->second));
    }
  }

  const Fingerprint& before_;
  const Fingerprint& after_;
  bool still_;
  std::vector<std::string> found_;
};

}  // namespace

Fingerprint take_fingerprint(const ProcessId& target, const std::vector<std::uint64_t>& allocators) {
  const pid_t pid = target.pid();
  const LiveMemory memory(pid);
  const MemoryMap map = MemoryMap::of(pid);
  Fingerprint fingerprint;
  fingerprint.mappings.assign(map.mappings().begin(), map.mappings().end());
  fingerprint.agents = find_agents(pid).size();
  fingerprint.files = open_files(pid);
  for (const pid_t tid : thread_ids(pid)) fingerprint.threads[tid] = read_signals(pid, tid);
  for (const GotSlot& word : function_words(pid, map, memory)) fingerprint.function_words[word.address] = word.value;
  for (const std::uint64_t address : allocators) {
    for (std::size_t i = 0; i < kAllocatorWords; ++i) {
      if (const auto word = memory.try_read<std::uint64_t>(address + i * 8))
        fingerprint.allocator_words[address + i * 8] = *word;
    }
  }
  return fingerprint;
}

std::vector<std::string> differences(const Fingerprint& before, const Fingerprint& after, bool still) {
  return Comparison(before, after, still).run();
}

}  // namespace memsnap
