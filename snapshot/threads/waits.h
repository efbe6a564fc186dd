#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "attach/process_memory.h"
#include "snapshot/cpython/gil.h"
#include "snapshot/cpython/interpreters.h"
#include "snapshot/cpython/object_reader.h"
#include "snapshot/threads/seen_thread.h"

namespace memsnap {

// Finds out what threads wait for, and who can end it. An owner is only said where the lock itself records one.
class WaitReader {
 public:
  // All must outlive the reader. `threads` have their tasks, idents and stacks already.
  WaitReader(const ProcessMemory& memory, const PythonProcess& python, const InterpreterList& interpreters,
             const std::vector<GilState>& gils, const std::vector<SeenThread>& threads);

  Wait read(pid_t pid, const SeenThread& thread) const;

 private:
  struct Futex {
    std::uint64_t address = 0;
    std::uint64_t operation = 0;
    std::uint64_t expected = 0;
    bool endless = false;
  };
  static std::optional<Futex> futex_of(const SystemCall& call);
  std::optional<Wait> for_gil(const Futex& futex) const;
  std::optional<Wait> for_python(const SeenThread& thread, const Futex& futex) const;
  std::optional<Wait> in_threading(const SeenThread& thread) const;
  Wait for_native_lock(const Futex& futex) const;
  std::uint64_t lock_on_stack(const SeenThread& thread, const Futex& futex) const;
  std::uint64_t first_local(const PythonFrame& frame) const;
  std::uint64_t word(std::uint64_t address) const;
  pid_t tid_of_ident(std::uint64_t ident) const;
  pid_t tid_of_inner(std::uint64_t inner) const;

  const ProcessMemory& memory_;
  const PythonProcess& python_;
  ObjectReader reader_;
  const std::vector<GilState>& gils_;
  const std::vector<SeenThread>& threads_;
  std::set<std::uint64_t> lock_types_;
  std::set<std::uint64_t> rlock_types_;
};

// Whether any waits go in a circle, and whether nobody is left to end one.
struct Deadlocks {
  std::vector<std::vector<std::int32_t>> circles;
  bool all_wait = false;
};
Deadlocks find_deadlocks(const std::vector<SeenThread>& threads);

}  // namespace memsnap
