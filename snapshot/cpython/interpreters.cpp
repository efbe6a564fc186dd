#include "snapshot/cpython/interpreters.h"

#include <cstddef>
#include <unordered_set>

namespace memsnap {
namespace {

constexpr std::size_t kMaxInterpreters = 10'000;
constexpr std::size_t kMaxThreads = 1'000'000;  // of all interpreters: forged ones may share one long list

// Calls `visit` for each item of a linked list. False when the list is damaged or longer than `limit`.
template <typename Visit>
bool for_each_linked(const ProcessMemory& memory, std::uint64_t head, std::uint64_t next_offset, std::size_t limit,
                     const Visit& visit) {
  std::unordered_set<std::uint64_t> seen;
  for (std::uint64_t item = head; item != 0;) {
    if (seen.size() == limit || !seen.insert(item).second) return false;
    const auto next = memory.try_read<std::uint64_t>(item + next_offset);
    if (!next) return false;
    visit(item);
    item = *next;
  }
  return true;
}

std::uint64_t word(const ProcessMemory& memory, std::uint64_t address) {
  return memory.try_read<std::uint64_t>(address).value_or(0);
}

std::uint64_t current_frame(const ProcessMemory& memory, const HeapLayout::Thread& thread, std::uint64_t state) {
  if (thread.frame != 0) return word(memory, state + thread.frame);
  if (thread.current_frame != 0) return word(memory, state + thread.current_frame);
  const std::uint64_t c_frame = word(memory, state + thread.cframe);
  return c_frame == 0 ? 0 : word(memory, c_frame + thread.cframe_current);
}

ThreadState read_thread(const ProcessMemory& memory, const HeapLayout::Thread& thread, std::uint64_t state) {
  return {
      .address = state,
      .thread_id = word(memory, state + thread.thread_id),
      .native_thread_id = thread.native_thread_id == 0 ? 0 : word(memory, state + thread.native_thread_id),
      .current_frame = current_frame(memory, thread, state),
  };
}

}  // namespace

InterpreterList read_interpreters(const ProcessMemory& memory, const PythonProcess& python) {
  const HeapLayout& layout = python.layout;
  InterpreterList list;
  std::size_t threads_left = kMaxThreads;
  const auto read_one = [&](std::uint64_t address) {
    InterpreterState state{
        .address = address,
        .id = static_cast<std::int64_t>(word(memory, address + layout.interpreter.id)),
        .modules = word(memory, address + layout.interpreter.modules),
        .sysdict = word(memory, address + layout.interpreter.sysdict),
        .builtins = word(memory, address + layout.interpreter.builtins),
    };
    const std::uint64_t first_thread = word(memory, address + layout.interpreter.threads_head);
    list.complete &= for_each_linked(memory, first_thread, layout.thread.next, threads_left, [&](std::uint64_t thread) {
      state.threads.push_back(read_thread(memory, layout.thread, thread));
    });
    threads_left -= state.threads.size();
    list.interpreters.push_back(std::move(state));
  };
  const std::uint64_t head = word(memory, python.runtime + layout.runtime.interpreters_head);
  list.complete &= for_each_linked(memory, head, layout.interpreter.next, kMaxInterpreters, read_one);
  return list;
}

}  // namespace memsnap
