#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace memsnap {

// What a classic BPF program returns for a system call, as the kernel would compute it (seccomp(2)). Empty for a
// program that the kernel itself would not have accepted.
std::optional<std::uint32_t> run_filter(std::span<const sock_filter> program, const seccomp_data& data);

// Whether system calls may be forced on a stopped thread: no filter, a filter that is suspended while we hold the
// thread, or filters that were read and are asked about each call. A filter may kill, so a call is never just tried.
class SeccompGate {
 public:
  // For a thread stopped under ptrace. `options` are set on it, with PTRACE_O_SUSPEND_SECCOMP where needed and allowed.
  // Empty, and why, when its filters can neither be suspended nor read, or it is in strict mode.
  static std::optional<SeccompGate> open(pid_t pid, pid_t tid, int options, std::string* why);

  bool suspended() const { return suspended_; }
  // `instruction` is the address behind the `syscall` instruction, which filters may look at.
  bool allows(long number, const std::array<std::uint64_t, 6>& arguments, std::uint64_t instruction) const;

 private:
  bool suspended_ = false;
  std::vector<std::vector<sock_filter>> filters_;
};

}  // namespace memsnap
