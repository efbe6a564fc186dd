#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "attach/native_symbols.h"
#include "attach/unwinder.h"
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

// The frames that one evaluation loop in C runs: calls from Python to Python share it from 3.11 on.
struct Segment {
  std::size_t frames = 0;        // none when the loop has only begun
  std::uint64_t loop_local = 0;  // a variable of the loop's, on the C stack (3.12+); 0: not known
};

// The calls of one thread state, the innermost first.
struct PythonStack {
  std::int64_t interpreter = 0;
  std::uint64_t state = 0;  // PyThreadState
  std::vector<PythonFrame> frames{};
  std::vector<Segment> segments{};
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
  bool unwound = false;
  NativeStack native{};
  std::vector<NativeSymbol> symbols{};  // of its frames; of the innermost alone when it was not unwound
};

}  // namespace memsnap
