#include "attach/memory_map.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "attach/base/error.h"
#include "attach/preflight.h"

namespace memsnap {
namespace {

// Takes a number off the front of `text` and the one separator behind it.
std::optional<std::uint64_t> take_number(std::string_view& text, int base, char separator) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end == text.data() + text.size() || *end != separator) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()) + 1);
  return value;
}

std::optional<Mapping> parse_line(std::string_view line) {
  Mapping mapping;
  const auto begin = take_number(line, 16, '-');
  const auto end = begin ? take_number(line, 16, ' ') : std::nullopt;
  if (!end || *end <= *begin || line.size() < 5 || line[4] != ' ') return std::nullopt;
  mapping.begin = *begin;
  mapping.end = *end;
  mapping.readable = line[0] == 'r';
  mapping.writable = line[1] == 'w';
  mapping.executable = line[2] == 'x';
  mapping.shared = line[3] == 's';
  line.remove_prefix(5);
  const auto offset = take_number(line, 16, ' ');
  const auto major = offset ? take_number(line, 16, ':') : std::nullopt;
  const auto minor = major ? take_number(line, 16, ' ') : std::nullopt;
  if (!minor) return std::nullopt;
  mapping.offset = *offset;
  mapping.device = *major << 32 | *minor;
  std::uint64_t inode = 0;
  const auto [rest, error] = std::from_chars(line.data(), line.data() + line.size(), inode);
  if (error != std::errc()) return std::nullopt;
  mapping.inode = inode;
  line.remove_prefix(static_cast<std::size_t>(rest - line.data()));
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  mapping.name = line;
  return mapping;
}

// By its flags, field 9 of proc_pid_stat(5). A process that is just ending has no memory either, but is none.
bool is_kernel_thread(pid_t pid) {
  constexpr unsigned long kKernelThread = 0x00200000;  // PF_KTHREAD, include/linux/sched.h
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  std::string line;
  std::getline(file, line, '\0');
  const std::size_t close = line.rfind(')');
  if (close == std::string::npos) return false;
  std::istringstream fields(line.substr(close + 1));
  std::string word;
  for (int field = 3; field < 9; ++field) fields >> word;
  unsigned long flags = 0;
  return (fields >> flags) && (flags & kKernelThread) != 0;
}

std::string read_file(pid_t pid, const char* name) {
  const std::string path = fmt::format("/proc/{}/{}", pid, name);
  std::ifstream file(path);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file || text.str().empty()) {
    const int error = file ? 0 : errno;
    if (error == EACCES || error == EPERM) {
      throw permission_error(pid, error);
    }
    if (is_kernel_thread(pid)) {
      throw Error(ExitCode::kUnsupported, fmt::format("process {} has no memory of its own: a kernel thread", pid),
                  "list the processes that can be read with: memsnap ps");
    }
    throw Error(ExitCode::kNoSuchProcess, fmt::format("process {} has ended", pid), "check the pid with: memsnap ps");
  }
  return text.str();
}

std::uint64_t kilobytes(std::string_view text, std::string_view key) {
  std::uint64_t total = 0;
  for (std::size_t at = 0; (at = text.find(key, at)) != std::string_view::npos; at += key.size()) {
    if (at != 0 && text[at - 1] != '\n') continue;
    std::string_view value = text.substr(at + key.size());
    value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
    std::uint64_t number = 0;
    std::from_chars(value.data(), value.data() + value.size(), number);
    total += number * 1024;
  }
  return total;
}

}  // namespace

MemoryMap::MemoryMap(std::vector<Mapping> mappings) : mappings_(std::move(mappings)) {
  std::sort(mappings_.begin(), mappings_.end(), [](const Mapping& a, const Mapping& b) { return a.begin < b.begin; });
}

MemoryMap MemoryMap::of(pid_t pid) { return parse(read_file(pid, "maps")); }

MemoryMap MemoryMap::parse(std::string_view text) {
  std::vector<Mapping> mappings;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    if (auto mapping = parse_line(text.substr(0, end))) mappings.push_back(std::move(*mapping));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return MemoryMap(std::move(mappings));
}

const Mapping* MemoryMap::find(std::uint64_t address) const {
  const auto after = std::upper_bound(mappings_.begin(), mappings_.end(), address,
                                      [](std::uint64_t at, const Mapping& mapping) { return at < mapping.begin; });
  if (after == mappings_.begin()) return nullptr;
  const Mapping& found = *std::prev(after);
  return address < found.end ? &found : nullptr;
}

MemoryUse read_memory_use(pid_t pid) {
  std::string text;
  try {
    text = read_file(pid, "smaps_rollup");
  } catch (const Error& error) {
    if (error.code() != ExitCode::kNoSuchProcess ||
        ::access(fmt::format("/proc/{}/smaps_rollup", pid).c_str(), F_OK) == 0)
      throw;
    text = read_file(pid, "smaps");  // before Linux 4.14
  }
  MemoryUse use;
  use.rss = kilobytes(text, "Rss:");
  use.pss = kilobytes(text, "Pss:");
  use.uss = kilobytes(text, "Private_Clean:") + kilobytes(text, "Private_Dirty:");
  use.shared = kilobytes(text, "Shared_Clean:") + kilobytes(text, "Shared_Dirty:");
  use.swap = kilobytes(text, "Swap:");
  use.page_tables = kilobytes(read_file(pid, "status"), "VmPTE:");
  return use;
}

std::uint64_t read_shared_anonymous(pid_t pid) {
  std::istringstream text(read_file(pid, "smaps"));
  std::uint64_t total = 0;
  bool counts = false;
  for (std::string line; std::getline(text, line);) {
    // A mapping's own line begins with its address; the fields of it have names in front of a colon.
    const bool is_field = line.find(':') < line.find(' ');
    if (!is_field) {
      std::string range, rights, offset, device, inode;
      std::istringstream(line) >> range >> rights >> offset >> device >> inode;
      counts = inode == "0" && rights.ends_with('p');
    } else if (counts && line.starts_with("Shared_")) {
      total += kilobytes(line, line.starts_with("Shared_Clean:") ? "Shared_Clean:" : "Shared_Dirty:");
    }
  }
  return total;
}

}  // namespace memsnap
