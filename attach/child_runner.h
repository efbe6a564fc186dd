#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>
#include <thread>
#include <vector>

#include "attach/frozen_process.h"
#include "attach/memory_guard.h"
#include "attach/process_id.h"
#include "attach/registers.h"

namespace memsnap {

// The frozen child under ptrace, stopped but while resume() runs it. It was attached at birth and dies with us.
class ChildRunner final : public FrozenChild {
 public:
  // Takes over a child stopped at its birth: marks it, and write-protects shared mappings. `target` outlives it.
  ChildRunner(const ProcessId& target, pid_t child, const MemoryMap& map, const Gadgets& gadgets);
  ~ChildRunner() override;
  ChildRunner(const ChildRunner&) = delete;
  ChildRunner& operator=(const ChildRunner&) = delete;

  pid_t pid() const override { return pid_; }
  std::uint64_t map(std::size_t size, bool executable) override;
  std::uint64_t reserve(std::size_t size) override;
  void write(std::uint64_t address, std::span<const std::byte> bytes) override;
  void prepare_call(std::uint64_t entry, std::uint64_t argument, std::uint64_t stack_top) override;
  ChildStop resume(std::chrono::milliseconds slice) override;
  void resume_async() override;
  ChildStop wait(std::chrono::milliseconds slice) override;
  double cpu_ms() const override;

  // False: a shared mapping could not be protected, so no foreign code may run in this child.
  bool safe_to_run() const { return safe_; }
  void kill();  // and waits for its end as its tracer; the target's zombie remains to be reaped

 private:
  std::int64_t system_call(long number, std::array<std::uint64_t, 6> arguments);
  void protect_shared(const MemoryMap& map);
  void name_it();
  ChildStop on_system_call();
  bool wait_status(std::chrono::milliseconds slice, int* status);
  ChildStop stop_now();
  void watch(const std::stop_token& stop);

  const ProcessId& target_;
  pid_t pid_;
  Gadgets gadgets_;
  user_regs_struct birth_{};
  bool ended_ = false;
  bool safe_ = true;
  double last_cpu_ms_ = 0;
  std::vector<MemoryLimit> limits_;
  std::jthread watcher_;  // kills the child when the target ends, execs, or its memory limit comes near
};

}  // namespace memsnap
