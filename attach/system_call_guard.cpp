#include "attach/system_call_guard.h"

#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <array>

namespace memsnap {
namespace {

// MADV_REMOVE and the like would reach the file behind a shared mapping.
bool is_harmless_advice(unsigned long long advice) {
  constexpr std::array kHarmless = {MADV_NORMAL, MADV_RANDOM,   MADV_SEQUENTIAL, MADV_WILLNEED, MADV_DONTNEED,
                                    MADV_FREE,   MADV_HUGEPAGE, MADV_NOHUGEPAGE, MADV_DONTDUMP, MADV_DODUMP};
  return std::any_of(kHarmless.begin(), kHarmless.end(),
                     [&](int harmless) { return advice == static_cast<unsigned long long>(harmless); });
}

}  // namespace

bool is_harmless_call(const user_regs_struct& registers, const ProcessMemory& memory) {
  // int $0x80 has the 32-bit table's numbers: 9 is link there, not mmap.
  constexpr std::array kSystemCall = {std::byte{0x0f}, std::byte{0x05}};
  if (memory.try_read<std::array<std::byte, 2>>(registers.rip - 2) != kSystemCall) return false;
  switch (registers.orig_rax) {
    case SYS_brk:
    case SYS_munmap:
      return true;
    case SYS_madvise:
      return is_harmless_advice(registers.rdx);
    case SYS_mmap:
      return (registers.r10 & MAP_ANONYMOUS) != 0 && (registers.r10 & MAP_TYPE) == MAP_PRIVATE;
    default:
      return false;
  }
}

}  // namespace memsnap
