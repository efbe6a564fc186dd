#include "inject/control/writable_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "attach/preflight.h"

namespace memsnap {

WritableMemory::WritableMemory(pid_t pid)
    : file_(::open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDWR | O_CLOEXEC)) {
  if (!file_) throw permission_error(pid, errno);
}

bool WritableMemory::copy(std::uint64_t address, std::span<std::byte> out) const {
  if (address > std::numeric_limits<off_t>::max() - out.size()) return false;
  while (!out.empty()) {
    const ssize_t size = ::pread(file_.get(), out.data(), out.size(), static_cast<off_t>(address));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return false;
    out = out.subspan(static_cast<std::size_t>(size));
    address += static_cast<std::uint64_t>(size);
  }
  return true;
}

bool WritableMemory::write(std::uint64_t address, std::span<const std::byte> bytes, pid_t stopped) const {
  if (address > std::numeric_limits<off_t>::max() - bytes.size()) return false;
  while (!bytes.empty()) {
    const ssize_t size = ::pwrite(file_.get(), bytes.data(), bytes.size(), static_cast<off_t>(address));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    bytes = bytes.subspan(static_cast<std::size_t>(size));
    address += static_cast<std::uint64_t>(size);
  }
  for (; stopped != 0 && bytes.size() >= sizeof(long); bytes = bytes.subspan(sizeof(long)), address += sizeof(long)) {
    long word = 0;
    std::memcpy(&word, bytes.data(), sizeof(word));
    if (ptrace(PTRACE_POKEDATA, stopped, address, word) != 0) return false;
  }
  return bytes.empty();
}

}  // namespace memsnap
