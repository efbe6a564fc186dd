#include "snapshot/threads/waits.h"

#include <fmt/format.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "snapshot/cpython/attributes.h"
#include "snapshot/threads/system_calls.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kLockWord = 16;    // of a lock object: a pointer to its semaphore, from 3.14 on the lock itself
constexpr std::uint64_t kRLockOwner = 24;  // of a _thread.RLock: pthread_self() of its owner
constexpr std::uint64_t kSearchedStack = 4096;
constexpr std::uint64_t kPrivateBit = FUTEX_PRIVATE_FLAG;
constexpr std::uint64_t kCommandBits = 0x7f;  // FUTEX_CMD_MASK

// 3.13+: a thread waits on a semaphore in its own stack frame, beside which lies the address of what it waits for.
constexpr std::uint64_t kParkedAddress = 8;

bool is_wait(std::uint64_t operation) {
  switch (operation & kCommandBits) {
    case FUTEX_WAIT:
    case FUTEX_WAIT_BITSET:
    case FUTEX_WAIT_REQUEUE_PI:
    case FUTEX_LOCK_PI:
    case FUTEX_LOCK_PI2:
      return true;
    default:
      return false;
  }
}

bool is_priority_inheriting(std::uint64_t operation) {
  const std::uint64_t command = operation & kCommandBits;
  return command == FUTEX_LOCK_PI || command == FUTEX_LOCK_PI2;
}

std::string held_by(const char* what, pid_t owner) { return fmt::format("{} held by {}", what, owner); }

bool ends_with_threading(const PythonFrame& frame) { return frame.file.ends_with("threading.py"); }

std::string link_text(const std::string& path) {
  std::array<char, 256> text{};
  const ssize_t size = ::readlink(path.c_str(), text.data(), text.size());
  return size <= 0 ? "" : std::string(text.data(), static_cast<std::size_t>(size));
}

std::string call_text(pid_t pid, const SystemCall& call) {
  std::string name = system_call_name(call.number);
  if (takes_descriptor(call.number)) {
    const auto descriptor = static_cast<std::int32_t>(call.arguments[0]);
    const std::string target = link_text(fmt::format("/proc/{}/fd/{}", pid, descriptor));
    return target.empty() ? fmt::format("{} (fd {})", name, descriptor)
                          : fmt::format("{} (fd {}: {})", name, descriptor, target);
  }
  if (call.number == SYS_wait4) return fmt::format("{} (pid {})", name, static_cast<std::int32_t>(call.arguments[0]));
  return name;
}

}  // namespace

WaitReader::WaitReader(const ProcessMemory& memory, const PythonProcess& python, const InterpreterList& interpreters,
                       const std::vector<GilState>& gils, const std::vector<SeenThread>& threads)
    : memory_(memory), python_(python), reader_(memory, python.layout), gils_(gils), threads_(threads) {
  for (const InterpreterState& interpreter : interpreters.interpreters) {
    if (const auto type = find_in_module(reader_, interpreter, "_thread", "LockType")) lock_types_.insert(*type);
    if (const auto type = find_in_module(reader_, interpreter, "_thread", "RLock")) rlock_types_.insert(*type);
  }
}

std::uint64_t WaitReader::word(std::uint64_t address) const {
  return memory_.try_read<std::uint64_t>(address).value_or(0);
}

pid_t WaitReader::tid_of_ident(std::uint64_t ident) const {
  const auto thread = std::find_if(threads_.begin(), threads_.end(),
                                   [ident](const SeenThread& each) { return ident != 0 && each.ident == ident; });
  return thread == threads_.end() ? 0 : thread->task.tid;
}

pid_t WaitReader::tid_of_inner(std::uint64_t inner) const {
  const auto thread = std::find_if(threads_.begin(), threads_.end(), [inner](const SeenThread& each) {
    return inner != 0 && static_cast<std::uint64_t>(each.task.inner_tid) == inner;
  });
  return thread == threads_.end() ? 0 : thread->task.tid;
}

std::optional<WaitReader::Futex> WaitReader::futex_of(const SystemCall& call) {
  if (call.number != SYS_futex || !is_wait(call.arguments[1])) return std::nullopt;
  return Futex{.address = call.arguments[0],
               .operation = call.arguments[1],
               .expected = call.arguments[2] & 0xffffffff,
               .endless = call.arguments[3] == 0 && (call.arguments[1] & kPrivateBit) != 0};
}

Wait WaitReader::read(pid_t pid, const SeenThread& thread) const {
  const Task& task = thread.task;
  if (!task.call) return {.kind = task.call_known || task.state == 'R' ? WaitKind::kRuns : WaitKind::kUnknown};
  const auto futex = futex_of(*task.call);
  if (!futex) return {.kind = WaitKind::kSystemCall, .text = call_text(pid, *task.call)};
  auto wait = for_gil(*futex);
  if (!wait) wait = for_python(thread, *futex);
  if (!wait) wait = for_native_lock(*futex);
  wait->endless = futex->endless && wait->kind != WaitKind::kGil;
  if (wait->kind != WaitKind::kGil) wait->text = fmt::format("futex {:#x} ({})", futex->address, wait->text);
  return *wait;
}

std::optional<Wait> WaitReader::for_gil(const Futex& futex) const {
  for (const GilState& gil : gils_) {
    if (futex.address < gil.address || futex.address >= gil.address + gil.size) continue;
    const auto holder = std::find_if(threads_.begin(), threads_.end(), [&](const SeenThread& thread) {
      return gil.holder != 0 && std::any_of(thread.stacks.begin(), thread.stacks.end(),
                                            [&](const PythonStack& stack) { return stack.state == gil.holder; });
    });
    const pid_t owner = holder == threads_.end() ? 0 : holder->task.tid;
    return Wait{.kind = WaitKind::kGil, .text = owner == 0 ? "the GIL" : held_by("the GIL,", owner), .owner = owner};
  }
  return std::nullopt;
}

std::optional<Wait> WaitReader::for_python(const SeenThread& thread, const Futex& futex) const {
  if (thread.stacks.empty()) return std::nullopt;
  if (auto wait = in_threading(thread)) return wait;
  const std::uint64_t lock = lock_on_stack(thread, futex);
  if (lock == 0) return std::nullopt;
  if (rlock_types_.count(reader_.type_of(lock).value_or(0)) == 0) {
    return Wait{.kind = WaitKind::kLock, .text = "Lock, owner not recorded"};
  }
  const pid_t owner = tid_of_ident(word(lock + kRLockOwner));
  return Wait{
      .kind = WaitKind::kLock, .text = owner == 0 ? "RLock, owner not found" : held_by("RLock", owner), .owner = owner};
}

// Locks whose owner only Python code knows, by the function that waits.
std::optional<Wait> WaitReader::in_threading(const SeenThread& thread) const {
  const auto stack = std::find_if(thread.stacks.begin(), thread.stacks.end(),
                                  [](const PythonStack& each) { return !each.frames.empty(); });
  if (stack == thread.stacks.end()) return std::nullopt;
  const PythonFrame& frame = stack->frames.front();
  const auto number_of = [&](const char* attribute) -> std::uint64_t {
    const auto value = find_attribute(reader_, first_local(frame), attribute);
    return value ? static_cast<std::uint64_t>(reader_.integer(*value).value_or(0)) : 0;
  };
  const auto wait_for = [&](WaitKind kind, const char* what, pid_t owner) -> std::optional<Wait> {
    if (owner == 0) return std::nullopt;
    return Wait{.kind = kind, .text = fmt::format("{} {}", what, owner), .owner = owner};
  };
  if (ends_with_threading(frame) && (frame.function == "join" || frame.function == "_wait_for_tstate_lock"))
    return wait_for(WaitKind::kThreadEnd, "for the end of thread", tid_of_ident(number_of("_ident")));
  if (frame.function != "acquire") return std::nullopt;
  if (ends_with_threading(frame)) return wait_for(WaitKind::kLock, "RLock held by", tid_of_ident(number_of("_owner")));
  if (frame.file == "<frozen importlib._bootstrap>")
    return wait_for(WaitKind::kLock, "import lock held by", tid_of_ident(number_of("owner")));
  return std::nullopt;
}

std::uint64_t WaitReader::first_local(const PythonFrame& frame) const {
  const HeapLayout& layout = python_.layout;
  if (layout.frame.size == 0) return word(frame.frame.address + layout.frame_object.f_localsplus);
  const std::uint64_t generator = frame.frame.kind == FrameKind::kGenerator ? layout.generator.frame : 0;
  return word(frame.frame.address + generator + layout.frame.localsplus) &
         ~static_cast<std::uint64_t>(layout.frame.tag_mask);
}

// The C function that waits still needs the lock object: it is in a register that calls preserve, or on the stack.
std::uint64_t WaitReader::lock_on_stack(const SeenThread& thread, const Futex& futex) const {
  const std::uint64_t parked = word(futex.address - kParkedAddress);
  const auto is_it = [&](std::uint64_t object) {
    if (object < 0x10000 || object % 8 != 0 || object >> 47 != 0) return false;
    const auto type = reader_.type_of(object);
    if (!type || (lock_types_.count(*type) == 0 && rlock_types_.count(*type) == 0)) return false;
    return word(object + kLockWord) == futex.address || object + kLockWord == parked;
  };
  if (is_it(parked - kLockWord)) return parked - kLockWord;
  const user_regs_struct& registers = thread.task.registers;
  for (const std::uint64_t value :
       {registers.rbx, registers.rbp, registers.r12, registers.r13, registers.r14, registers.r15}) {
    if (is_it(value)) return value;
  }
  const std::uint64_t begin = thread.task.stack_pointer & ~7ull;
  for (std::uint64_t at = begin; at < begin + kSearchedStack; at += 8) {
    const auto value = memory_.try_read<std::uint64_t>(at);
    if (!value) return 0;
    if (*value - begin >= 8 * kSearchedStack && is_it(*value)) return *value;  // most words point into the stack itself
  }
  return 0;
}

// A lock of C code. The kernel's rules put the owner into the word of a PI or robust lock; the C library's mutex keeps
// it beside its lock word.
Wait WaitReader::for_native_lock(const Futex& futex) const {
  struct Mutex {
    std::uint32_t lock, count, owner, users, kind;
  };
  const auto lock = memory_.try_read<std::uint32_t>(futex.address);
  const auto owned = [&](const char* what, std::uint64_t inner) {
    const pid_t owner = tid_of_inner(inner);
    return Wait{.kind = WaitKind::kLock,
                .text = owner == 0 ? fmt::format("{}, owner not found", what) : held_by(what, owner),
                .owner = owner};
  };
  if (lock && is_priority_inheriting(futex.operation)) return owned("PI mutex", *lock & FUTEX_TID_MASK);
  if (lock && (*lock & FUTEX_WAITERS) != 0 && *lock == futex.expected && tid_of_inner(*lock & FUTEX_TID_MASK) != 0)
    return owned("robust mutex", *lock & FUTEX_TID_MASK);
  constexpr std::uint32_t kContended = 2;
  constexpr std::uint32_t kMostKinds = 0x400;
  const auto mutex = memory_.try_read<Mutex>(futex.address);
  if (mutex && futex.expected == kContended && mutex->lock == kContended && mutex->users != 0 &&
      mutex->kind < kMostKinds && tid_of_inner(mutex->owner) != 0)
    return owned("mutex", mutex->owner);
  return {.kind = WaitKind::kLock, .text = "owner not recorded"};
}

Deadlocks find_deadlocks(const std::vector<SeenThread>& threads) {
  Deadlocks found;
  std::map<pid_t, pid_t> waits;  // for whom
  found.all_wait = !threads.empty();
  for (const SeenThread& thread : threads) {
    const Wait& wait = thread.wait;
    found.all_wait = found.all_wait && wait.endless;
    if (wait.owner != 0 && (wait.endless || wait.kind == WaitKind::kGil)) waits[thread.task.tid] = wait.owner;
  }
  std::set<pid_t> done;
  for (const auto& [first, owner] : waits) {
    if (done.count(owner) != 0 && done.count(first) != 0) continue;
    std::vector<std::int32_t> path;
    pid_t at = first;
    for (; waits.count(at) != 0 && done.insert(at).second; at = waits[at]) path.push_back(at);
    const auto begin = std::find(path.begin(), path.end(), at);
    if (begin != path.end()) found.circles.emplace_back(begin, path.end());
  }
  return found;
}

}  // namespace memsnap
