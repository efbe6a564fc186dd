#include <fcntl.h>
#include <malloc.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attach/base/error.h"
#include "report/cli/program.h"

namespace {

// Without a byte of new memory.
int no_memory() {
  constexpr std::string_view kText =
      "memsnap: memsnap has not enough memory (its own limit, or the machine's)\n  see ulimit -v\n";
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, kText.data(), kText.size());
  return static_cast<int>(memsnap::ExitCode::kGaveUp);
}

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

// When memory has run out below such a limit the stack cannot grow either, and that would end us by a signal.
[[gnu::noinline]] void grow_stack() {
  std::array<volatile char, 1u << 20> room;
  room.front() = 0;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr std::uint64_t kLeast = 4u << 20;
  try {
    const auto left = address_space_left();
    if (left && *left < kLeast) return no_memory();
    if (left) share_one_arena();
    if (left) grow_stack();
    return memsnap::run_program(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
  } catch (const std::bad_alloc&) {  // of what the program needs before it can say anything
    return no_memory();
  }
}
