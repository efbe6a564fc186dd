#include "snapshot/threads/thread_reader.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "snapshot/cpython/attributes.h"
#include "snapshot/cpython/code_reader.h"
#include "snapshot/cpython/object_reader.h"
#include "snapshot/threads/native_merge.h"
#include "snapshot/threads/python_stacks.h"
#include "snapshot/threads/waits.h"

namespace memsnap {
namespace {

constexpr std::size_t kMaxName = 256;
constexpr std::uint64_t kThreadDescriptor = 0x800;  // bytes of the C library's struct pthread that are searched
constexpr std::uint64_t kUsualTid = 0x2d0;          // where glibc has the tid on x86-64
constexpr std::uint64_t kSearchedStack = 64u << 10;

// Whether a word lies in a register that calls preserve, or among the innermost calls on the thread's C stack.
bool is_on_stack(const ProcessMemory& memory, const Task& task, std::uint64_t wanted) {
  const user_regs_struct& registers = task.registers;
  const std::array kept{registers.rbx, registers.rbp, registers.r12, registers.r13, registers.r14, registers.r15};
  if (std::find(kept.begin(), kept.end(), wanted) != kept.end()) return true;
  if (task.stack_pointer == 0) return false;
  const std::uint64_t begin = task.stack_pointer & ~7ull;
  for (std::uint64_t at = begin; at < begin + kSearchedStack; at += 8) {
    const auto word = memory.try_read<std::uint64_t>(at);
    if (!word || *word == wanted) return word.has_value();
  }
  return false;
}

Tristate tristate(std::optional<bool> value) {
  return !value ? Tristate::kUnknown : *value ? Tristate::kYes : Tristate::kNo;
}

}  // namespace

ThreadReader::ThreadReader(pid_t pid, std::vector<Task> tasks) : pid_(pid), tasks_(std::move(tasks)) {}

void ThreadReader::read(const ProcessMemory& memory, const PythonProcess& python, const std::vector<HeldThread>& held) {
  add_registers(tasks_, held);
  add_running_calls(pid_, tasks_);
  for (const Task& task : tasks_) threads_.push_back({.task = task, .name = task.name});
  const InterpreterList list = read_interpreters(memory, python);
  complete_ = list.complete;
  gils_ = read_gils(memory, python, list.interpreters);
  collecting_ = is_collecting(memory, python, list.interpreters);
  add_states(memory, python, list);
  add_names(memory, python, list);
  add_holders();
  const WaitReader waits(memory, python, list, gils_, threads_);
  for (SeenThread& thread : threads_) thread.wait = waits.read(pid_, thread);
}

// Appends a thread without a task when there is none: its Python stack is worth showing even so.
SeenThread& ThreadReader::thread_of(pid_t tid) {
  const auto found = std::find_if(threads_.begin(), threads_.end(),
                                  [tid](const SeenThread& thread) { return tid != 0 && thread.task.tid == tid; });
  if (found != threads_.end()) return *found;
  threads_.emplace_back();
  return threads_.back();
}

void ThreadReader::add_states(const ProcessMemory& memory, const PythonProcess& python, const InterpreterList& list) {
  std::vector<State> states;
  for (const InterpreterState& interpreter : list.interpreters) {
    for (const ThreadState& thread : interpreter.threads) states.push_back({&interpreter, &thread});
  }
  const std::vector<pid_t> tids = tids_of(memory, states);
  CodeReader code(memory, python);
  for (std::size_t i = 0; i < states.size(); ++i) {
    SeenThread& thread = thread_of(tids[i]);
    if (thread.ident == 0 || states[i].interpreter->id == 0) thread.ident = states[i].thread->thread_id;
    thread.stacks.push_back(read_python_stack(memory, python, *states[i].thread, code));
    thread.stacks.back().interpreter = states[i].interpreter->id;
  }
  // A call into another interpreter is further in than the one that made it: newer interpreters come first.
  for (SeenThread& thread : threads_) {
    std::stable_sort(thread.stacks.begin(), thread.stacks.end(),
                     [](const PythonStack& a, const PythonStack& b) { return a.interpreter > b.interpreter; });
  }
}

// Which thread runs which thread state; 0: not found. A stopped thread's register says where its descriptor is, CPython
// from 3.11 on keeps the tid itself, and else it is looked for in the descriptors, at an offset that is right for all.
std::vector<pid_t> ThreadReader::tids_of(const ProcessMemory& memory, const std::vector<State>& states) const {
  const auto by = [&](auto matches) {
    const auto task = std::find_if(tasks_.begin(), tasks_.end(), matches);
    return task == tasks_.end() ? 0 : task->tid;
  };
  const auto by_inner = [&](std::uint64_t inner) {
    return by([&](const Task& task) { return inner != 0 && static_cast<std::uint64_t>(task.inner_tid) == inner; });
  };
  std::vector<pid_t> tids;
  for (const State& state : states) {
    const std::uint64_t ident = state.thread->thread_id;
    pid_t tid = by([&](const Task& task) { return task.held && ident != 0 && task.registers.fs_base == ident; });
    if (tid == 0) tid = by_inner(state.thread->native_thread_id);
    tids.push_back(tid);
  }
  std::vector<std::uint64_t> offsets{kUsualTid};
  for (std::uint64_t offset = 0; offset < kThreadDescriptor; offset += 4) offsets.push_back(offset);
  const auto try_offset = [&](std::uint64_t offset) {
    std::vector<pid_t> found = tids;
    for (std::size_t i = 0; i < states.size(); ++i) {
      const auto inner = memory.try_read<std::uint32_t>(states[i].thread->thread_id + offset);
      const pid_t tid = inner ? by_inner(*inner) : 0;
      if (tid == 0 || (tids[i] != 0 && tids[i] != tid)) return false;
      found[i] = tid;
    }
    std::set<std::pair<std::uint64_t, pid_t>> pairs;
    std::set<pid_t> distinct;
    for (std::size_t i = 0; i < states.size(); ++i) {
      pairs.insert({states[i].thread->thread_id, found[i]});
      distinct.insert(found[i]);
    }
    if (pairs.size() != distinct.size()) return false;
    tids = found;
    return true;
  };
  if (std::find(tids.begin(), tids.end(), 0) != tids.end()) std::any_of(offsets.begin(), offsets.end(), try_offset);
  for (std::size_t i = 0; i < states.size(); ++i) tids[i] = borrower_of(memory, states[i], tids[i]);
  return tids;
}

// To 3.12 the thread state of a sub-interpreter is used by any thread that calls into it, and names the one that made
// it. The evaluation loop that runs its innermost frame has that frame on its C stack.
pid_t ThreadReader::borrower_of(const ProcessMemory& memory, const State& state, pid_t said) const {
  if (state.interpreter->id == 0 || state.thread->current_frame == 0) return said;
  const auto runs = [&](const Task& task) { return is_on_stack(memory, task, state.thread->current_frame); };
  const auto task = std::find_if(tasks_.begin(), tasks_.end(), runs);
  return task == tasks_.end() ? said : task->tid;
}

void ThreadReader::add_names(const ProcessMemory& memory, const PythonProcess& python, const InterpreterList& list) {
  const ObjectReader reader(memory, python.layout);
  // The main interpreter last: its names win for threads that others know only as dummies.
  for (const InterpreterState& interpreter : list.interpreters) {
    for (const auto& [ident, object] : active_threads(reader, interpreter)) {
      const auto thread = std::find_if(threads_.begin(), threads_.end(),
                                       [id = ident](const SeenThread& each) { return id != 0 && each.ident == id; });
      const auto name = find_attribute(reader, object, "_name");
      const auto text = name ? reader.text(*name, kMaxName) : std::nullopt;
      if (thread != threads_.end() && text && !text->empty()) thread->name = *text;
    }
  }
}

void ThreadReader::add_holders() {
  for (SeenThread& thread : threads_) {
    for (const PythonStack& stack : thread.stacks) {
      const bool holds = std::any_of(gils_.begin(), gils_.end(),
                                     [&](const GilState& gil) { return gil.holder != 0 && gil.holder == stack.state; });
      thread.holds_gil = thread.holds_gil || holds;
    }
  }
}

void ThreadReader::unwind(const ProcessMemory& memory, const MemoryMap& map) {
  const Unwinder unwinder(memory, map);
  for (SeenThread& thread : threads_) {
    if (!thread.task.held) continue;
    thread.native = unwinder.unwind(thread.task.registers);
    thread.unwound = true;
  }
}

void ThreadReader::name_native(NativeSymbols& symbols) {
  for (SeenThread& thread : threads_) {
    for (const NativeFrame& frame : thread.native.frames) {
      thread.symbols.push_back(symbols.find(frame.lookup()));
      // Compilers move seldom used parts of a function away, and a stripped program has no name for them. The
      // evaluation loop is known by the call that led to it.
      std::string& function = thread.symbols.back().function;
      if (!function.empty() || frame.entry == 0) continue;
      if (std::string called = symbols.function(frame.entry); called.starts_with(kEvaluationLoop))
        function = std::move(called);
    }
    if (!thread.task.held || thread.wait.kind != WaitKind::kRuns) continue;
    const std::string function = symbols.function(thread.task.registers.rip);
    if (!function.empty() && !function.starts_with(kEvaluationLoop)) thread.wait.text = function;
  }
}

void ThreadReader::add_frames(const SeenThread& seen, ThreadStack& thread, ThreadStacks& result) {
  const MergedStack merged = merge(seen);
  thread.frame_begin = static_cast<std::uint32_t>(result.frames.size());
  for (const MergedFrame& each : merged.frames) {
    if (each.python != nullptr) {
      result.frames.push_back({.function = result.strings.add(each.python->function),
                               .file = result.strings.add(each.python->file),
                               .line = each.python->line,
                               .address = each.python->frame.address});
    } else {
      const NativeSymbol& symbol = seen.symbols.at(each.native);
      result.frames.push_back({.function = result.strings.add(symbol.function.empty() ? "??" : symbol.function),
                               .file = result.strings.add(symbol.file),
                               .line = symbol.line,
                               .native = true,
                               .address = seen.native.frames.at(each.native).instruction});
    }
  }
  thread.frame_count = static_cast<std::uint32_t>(result.frames.size()) - thread.frame_begin;
  if (!seen.unwound) return;
  thread.flags |= kThreadNative;
  if (!seen.native.complete) thread.flags |= kThreadPartialNative;
  if (!merged.matched) thread.flags |= kThreadUnmatched;
  result.has_native = true;
}

ThreadStacks ThreadReader::finish() const {
  ThreadStacks result;
  for (const SeenThread& seen : threads_) {
    ThreadStack thread{.tid = seen.task.tid, .name = result.strings.add(seen.name), .wait = seen.wait.kind};
    thread.waits = result.strings.add(seen.wait.text);
    thread.owner = seen.wait.owner;
    if (seen.wait.kind != WaitKind::kRuns) thread.wait_seconds = seen.task.idle_seconds;
    if (seen.holds_gil) thread.flags |= kThreadHoldsGil;
    if (!seen.stacks.empty()) thread.flags |= kThreadPython;
    if (seen.task.sleeps()) thread.flags |= kThreadSleeps;
    for (const PythonStack& stack : seen.stacks) {
      if (!stack.complete) thread.flags |= kThreadPartialPython;
    }
    const auto inner = std::find_if(seen.stacks.begin(), seen.stacks.end(),
                                    [](const PythonStack& stack) { return !stack.frames.empty(); });
    if (inner != seen.stacks.end()) thread.interpreter = inner->interpreter;
    add_frames(seen, thread, result);
    result.threads.push_back(thread);
    if (seen.holds_gil && result.gil_holder == 0) result.gil_holder = seen.task.tid;
  }
  if (!gils_.empty()) result.gil_held = tristate(gils_.front().held);
  result.collecting = tristate(collecting_);
  result.partial = !complete_;
  Deadlocks deadlocks = find_deadlocks(threads_);
  result.deadlocks = std::move(deadlocks.circles);
  result.all_wait = deadlocks.all_wait;
  return result;
}

}  // namespace memsnap
