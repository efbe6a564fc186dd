#include "report/cli/address_space.h"

#include <alloca.h>
#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "attach/base/error.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kLeastSpace = 4u << 20;
constexpr std::uint64_t kStackWanted = 1u << 20;
constexpr std::uint64_t kStackKept = 256u << 10;  // frames that are there and that come, and a short list of arguments

// What a limit of the address space (setrlimit(2), RLIMIT_AS) leaves; empty: there is none. Asks for no memory either.
std::optional<std::uint64_t> address_space_left() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return std::nullopt;
  std::array<char, 64> text{};  // proc_pid_statm(5): the first number is the size in pages
  const int file = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  const ssize_t read = file < 0 ? -1 : ::read(file, text.data(), text.size() - 1);
  ::close(file);
  if (read <= 0) return 0;
  const std::uint64_t size =
      std::strtoull(text.data(), nullptr, 10) * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  return limit.rlim_cur - std::min<std::uint64_t>(limit.rlim_cur, size);
}

// A thread that is refused an arena of its own (64 MiB of address space) is given nothing of what others gave back.
void share_one_arena() { ::mallopt(M_ARENA_MAX, 1); }

// Beyond RLIMIT_STACK, which counts arguments and environment too, is SIGSEGV. These are a quarter of it at most,
// execve(2).
std::uint64_t stack_to_grow() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_STACK, &limit) != 0) return 0;
  if (limit.rlim_cur == RLIM_INFINITY) return kStackWanted;
  const std::uint64_t kept = kStackKept + limit.rlim_cur / 4;
  return std::min<std::uint64_t>(kStackWanted, limit.rlim_cur - std::min<std::uint64_t>(limit.rlim_cur, kept));
}

// When memory has run out below such a limit the stack cannot grow either, and that would end us by a signal.
[[gnu::noinline]] void grow_stack(std::uint64_t bytes) {
  if (bytes == 0) return;
  auto* const room = static_cast<volatile char*>(::alloca(bytes));
  room[0] = 0;
}

}  // namespace

bool prepare_for_limits() {
  const auto left = address_space_left();
  if (!left) return true;
  if (*left < kLeastSpace) return false;
  share_one_arena();
  grow_stack(stack_to_grow());
  return true;
}

int no_memory() noexcept {
  constexpr std::string_view kText =
      "memsnap: memsnap has not enough memory (its own limit, or the machine's)\n  see ulimit -v\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kText.data(), kText.size());
  return static_cast<int>(ExitCode::kGaveUp);
}

}  // namespace memsnap
