#include "attach/child_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string_view>

namespace memsnap {

bool is_device(const Mapping& mapping) {
  const std::string_view name = mapping.name;
  // Memory that only looks like a device: shared anonymous memory, POSIX shared memory, huge pages.
  for (const std::string_view memory : {"/dev/zero", "/dev/shm/", "/dev/hugepages/"}) {
    if (name.starts_with(memory)) return false;
  }
  return std::ranges::any_of(
      std::initializer_list<std::string_view>{"/dev/", "/sys/", "/proc/", "anon_inode:", "/dmabuf"},
      [&](std::string_view driver) { return name.starts_with(driver); });
}

ChildMemory::ChildMemory(pid_t pid, const MemoryMap& map)
    : pinned_(pid), file_(::open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDONLY | O_CLOEXEC)) {
  for (const Mapping& mapping : map.mappings()) {
    if (is_device(mapping)) devices_.emplace_back(mapping.begin, mapping.end);
  }
}

bool ChildMemory::touches_device(std::uint64_t begin, std::uint64_t size) const {
  return std::ranges::any_of(devices_,
                             [&](const auto& device) { return device.first < begin + size && begin < device.second; });
}

bool ChildMemory::copy(std::uint64_t address, std::span<std::byte> out) const {
  if (!file_) return pinned_.copy(address, out);
  if (address > std::numeric_limits<off_t>::max() - out.size() || touches_device(address, out.size())) return false;
  while (!out.empty()) {
    const ssize_t size = ::pread(file_.get(), out.data(), out.size(), static_cast<off_t>(address));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return false;
    out = out.subspan(static_cast<std::size_t>(size));
    address += static_cast<std::uint64_t>(size);
  }
  return true;
}

}  // namespace memsnap
