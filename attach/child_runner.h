#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <thread>
#include <vector>

#include "attach/frozen_process.h"
#include "attach/memory_guard.h"
#include "attach/remote_call.h"
#include "attach/same_program.h"

namespace memsnap {

// The frozen child under ptrace, stopped but while resume() runs it. It was attached at birth and dies with us. All but
// write(), pid() and cpu_ms() is for the thread that traces it.
class ChildRunner final : public FrozenChild {
 public:
  // Takes over a child at its birth, and names it. `target` outlives it; `while_waiting` is called in every wait.
  ChildRunner(const SameProgram& target, pid_t child, const Gadgets& gadgets, SeccompGate gate,
              std::function<void()> while_waiting);
  ~ChildRunner() override;
  ChildRunner(const ChildRunner&) = delete;
  ChildRunner& operator=(const ChildRunner&) = delete;

  // First thing in the child's life: nothing that runs there may write memory that others see.
  void protect_shared(const MemoryMap& map);
  // False: a shared mapping could not be protected, so no foreign code may run in this child.
  bool safe_to_run() const { return safe_; }

  pid_t pid() const override { return pid_; }
  std::uint64_t map(std::size_t size, bool executable) override;
  std::uint64_t reserve(std::size_t size) override;
  void write(std::uint64_t address, std::span<const std::byte> bytes) override;
  void prepare_call(std::uint64_t entry, std::uint64_t argument, std::uint64_t stack_top) override;
  ChildStop resume(std::chrono::milliseconds slice) override;
  void resume_async() override;
  ChildStop wait(std::chrono::milliseconds slice) override;
  double cpu_ms() const override;

  void kill();  // and waits for its end as its tracer; the target's zombie remains to be reaped

 private:
  using TimePoint = std::chrono::steady_clock::time_point;
  std::int64_t system_call(long number, const CallArguments& arguments);
  std::optional<ChildStop> judge(int status);
  std::optional<ChildStop> on_system_call();
  bool wait_status(TimePoint deadline, int* status);
  ChildStop stop_now();
  void name_it();
  void watch(const std::stop_token& stop);

  const SameProgram& target_;
  pid_t pid_;
  Gadgets gadgets_;
  SeccompGate gate_;
  std::function<void()> while_waiting_;
  user_regs_struct birth_{};
  bool ended_ = false;  // it is dead, and no longer ours to wait for
  bool safe_ = false;
  std::atomic<bool> doomed_ = false;  // it must end, and only its tracer may end it
  std::atomic<double> last_cpu_ms_ = 0;
  std::vector<MemoryLimit> limits_;
  std::jthread watcher_;  // kills the child when the target ends, execs, or its memory limit comes near
};

}  // namespace memsnap
