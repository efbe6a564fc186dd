#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "snapshot/cpython/frames.h"
#include "snapshot/model/thread_stacks.h"
#include "snapshot/threads/tasks.h"

namespace memsnap {

struct PythonFrame {
  RunningFrame frame{};
  std::string function{};
  std::string file{};
  std::int32_t line = 0;  // 0: not known
};

// The calls of one thread state. A segment is what one evaluation loop in C runs: calls from Python to Python share it
// from 3.11 on. The innermost first; it may be empty when the loop has only begun.
struct PythonStack {
  std::int64_t interpreter = 0;
  std::uint64_t state = 0;  // PyThreadState
  std::vector<PythonFrame> frames{};
  std::vector<std::size_t> segments{};  // frames in each
  bool complete = true;
};

struct Wait {
  WaitKind kind = WaitKind::kUnknown;
  std::string text{};
  pid_t owner = 0;
  bool endless = false;  // without a time limit, and no other process can end it
};

// A thread while it is pieced together.
struct SeenThread {
  Task task{};
  std::uint64_t ident = 0;  // pthread_self(); 0: runs no Python
  std::string name{};
  bool holds_gil = false;
  std::vector<PythonStack> stacks{};  // the innermost interpreter's first
  Wait wait{};
};

}  // namespace memsnap
