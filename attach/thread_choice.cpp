#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <memory>
#include <string_view>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/remote_call.h"

namespace memsnap {
namespace {

constexpr std::string_view kSystemCall("\x0f\x05\xc3", 3);  // syscall; ret
// mov $15, %rax; syscall, as glibc and musl have it, and with the short move
constexpr std::array<std::string_view, 2> kSignalReturns = {std::string_view("\x48\xc7\xc0\x0f\x00\x00\x00\x0f\x05", 9),
                                                            std::string_view("\xb8\x0f\x00\x00\x00\x0f\x05", 7)};
constexpr std::size_t kMaxText = 64u << 20;
constexpr std::uint64_t kCode64 = 0x33;  // cs of 64-bit code

bool is_c_library(const Mapping& mapping) {
  return mapping.name.find("libc") != std::string::npos || mapping.name.find("musl") != std::string::npos;
}

std::string read_text(const Mapping& mapping, const ProcessMemory& memory) {
  std::string text(std::min<std::uint64_t>(mapping.size(), kMaxText), '\0');
  if (!memory.copy(mapping.begin, std::as_writable_bytes(std::span(text)))) text.clear();
  return text;
}

void look_for(std::string_view instructions, const Mapping& mapping, std::string_view text, std::uint64_t& found) {
  const auto at = text.find(instructions);
  if (found == 0 && at != std::string_view::npos) found = mapping.begin + at;
}

// rseq(2): what a thread outside a system call is in the middle of. Linux 5.13+ tells where to look.
bool outside_restartable_sequence(pid_t tid, const user_regs_struct& registers, const ProcessMemory& memory) {
  struct {
    std::uint64_t abi_pointer;
    std::uint32_t abi_size, signature, flags, pad;
  } rseq{};
  struct Sequence {  // struct rseq_cs
    std::uint32_t version, flags;
    std::uint64_t start, length, abort;
  };
  constexpr auto kGetRseq = static_cast<__ptrace_request>(0x420f);  // PTRACE_GET_RSEQ_CONFIGURATION
  if (ptrace(kGetRseq, tid, sizeof(rseq), &rseq) < 0) return false;
  if (rseq.abi_pointer == 0) return true;
  const auto at = memory.try_read<std::uint64_t>(rseq.abi_pointer + 8);
  if (!at) return false;
  if (*at == 0) return true;
  const auto sequence = memory.try_read<Sequence>(*at);
  return sequence && registers.rip - sequence->start >= sequence->length;
}

bool reads(const ProcessMemory& memory, std::uint64_t address, std::string_view wanted) {
  std::string text(wanted.size(), '\0');
  return memory.copy(address, std::as_writable_bytes(std::span(text))) && text == wanted;
}

// Found while it ran: it may have replaced its program (execve) since.
bool still_there(const Gadgets& gadgets, const ProcessMemory& memory) {
  return reads(memory, gadgets.system_call, kSystemCall) &&
         std::any_of(kSignalReturns.begin(), kSignalReturns.end(),
                     [&](std::string_view returning) { return reads(memory, gadgets.signal_return, returning); });
}

bool forbidden(const SeccompGate& gate, const Gadgets& gadgets, std::span<const NeededCall> calls, std::string* why) {
  for (const NeededCall& needed : calls) {
    if (gate.allows(needed.number, needed.arguments, gadgets.system_call + 2)) continue;
    *why = fmt::format("its seccomp filter forbids {}", needed.name);
    return true;
  }
  return false;
}

bool forbids_freeze(const SeccompGate& gate, const Gadgets& gadgets, std::string* why) {
  const std::array<NeededCall, 8> calls = {{
      {"clone", SYS_clone, {CLONE_FILES | CLONE_FS, 1, 0, 0, 0, 0}},
      {"wait4", SYS_wait4, {1, 0, __WALL | WNOHANG, 0, 0, 0}},
      {"exit_group", SYS_exit_group, {}},
      {"rt_sigreturn", SYS_rt_sigreturn, {}},
      {"prctl", SYS_prctl, {PR_SET_NAME, 1, 0, 0, 0, 0}},
      {"mmap", SYS_mmap, {0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, ~0ull, 0}},
      {"munmap", SYS_munmap, {4096, 4096, 0, 0, 0, 0}},
      {"mprotect", SYS_mprotect, {4096, 4096, PROT_READ, 0, 0, 0}},
  }};
  return forbidden(gate, gadgets, calls, why);
}

}  // namespace

std::optional<Gadgets> find_gadgets(const MemoryMap& map, const ProcessMemory& memory) {
  Gadgets gadgets;
  for (const bool want_c_library : {true, false}) {
    for (const Mapping& mapping : map.mappings()) {
      if (!mapping.executable || !mapping.readable || mapping.name == "[vsyscall]") continue;
      if (is_c_library(mapping) != want_c_library) continue;
      const std::string text = read_text(mapping, memory);
      look_for(kSystemCall, mapping, text, gadgets.system_call);
      for (const std::string_view returning : kSignalReturns) {
        look_for(returning, mapping, text, gadgets.signal_return);
      }
      if (gadgets.system_call != 0 && gadgets.signal_return != 0) return gadgets;
    }
  }
  return std::nullopt;
}

std::unique_ptr<RemoteCall> borrow_thread(pid_t pid, std::span<const pid_t> stopped, const MemoryMap& map,
                                          const Gadgets& gadgets, std::string* why, std::span<const NeededCall> also) {
  const LiveMemory memory(pid);
  constexpr int kOptions = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK;
  *why = "its program has changed meanwhile";
  if (!still_there(gadgets, memory)) return nullptr;
  *why = "no thread is at a point where a call can be forced on it";
  for (const bool in_call : {true, false}) {
    for (const pid_t tid : stopped) {
      user_regs_struct registers{};
      if (ptrace(PTRACE_GETREGS, tid, nullptr, &registers) < 0 || registers.cs != kCode64) continue;
      if (in_system_call(registers) != in_call) continue;
      if (!in_call && !outside_restartable_sequence(tid, registers, memory)) continue;
      auto gate = SeccompGate::open(pid, tid, kOptions, why);
      if (!gate || forbids_freeze(*gate, gadgets, why) || forbidden(*gate, gadgets, also, why)) continue;
      try {
        return std::make_unique<RemoteCall>(pid, tid, map, gadgets, std::move(*gate));
      } catch (const Error& error) {
        if (error.code() != ExitCode::kGaveUp) throw;
        *why = error.what();
      }
    }
  }
  return nullptr;
}

}  // namespace memsnap
