#pragma once

#include <string_view>
#include <vector>

#include "snapshot/threads/seen_thread.h"

namespace memsnap {

// The C function that runs Python code.
inline constexpr std::string_view kEvaluationLoop = "_PyEval_EvalFrameDefault";

// One frame of a merged stack: Python's or C's.
struct MergedFrame {
  const PythonFrame* python = nullptr;
  std::size_t native = 0;  // when there is no Python frame: which of the thread's native ones
};

struct MergedStack {
  std::vector<MergedFrame> frames{};  // the innermost first
  bool matched = true;                // false: the evaluation loops could not be counted; the Python frames come first
};

// Puts the Python frames where the evaluation loops are that run them. A loop that has only just begun has none yet:
// then the outermost ones decide.
MergedStack merge(const SeenThread& thread);

}  // namespace memsnap
