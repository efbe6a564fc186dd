#include "snapshot/threads/python_stacks.h"

#include <optional>
#include <string>
#include <utility>

namespace memsnap {
namespace {

constexpr std::uint64_t kMaxFrames = 1u << 18;  // far beyond any recursion limit that a C stack survives

// What the interpreter itself puts below an __init__ that a call of a class runs without C between (3.13+); no function
// of the program, and Python does not show it either.
bool is_shim(const CodeInfo& info, std::optional<std::int32_t> line) {
  return !line && info.function == "__init__" && info.file == info.function;
}

}  // namespace

PythonStack read_python_stack(const ProcessMemory& memory, const PythonProcess& python, const ThreadState& state,
                              CodeReader& code) {
  PythonStack stack;
  stack.state = state.address;
  std::size_t segment = 0;
  bool sound = true;
  const auto visit = [&](const RunningFrame& frame) {
    if (frame.kind == FrameKind::kInterpreter) {
      stack.segments.push_back({std::exchange(segment, 0), frame.address});
      return;
    }
    const CodeInfo* const info = sound ? code.find(frame.code) : nullptr;
    if (info == nullptr) {
      sound = false;
      return;
    }
    const auto line = code.line(frame);
    if (!is_shim(*info, line)) {
      PythonFrame seen{.frame = frame, .function = info->function, .file = info->file, .line = line.value_or(0)};
      if (frame.kind == FrameKind::kGenerator) seen.frame.address -= python.layout.generator.frame;
      stack.frames.push_back(std::move(seen));
      ++segment;
    }
    if (frame.entry) stack.segments.push_back({std::exchange(segment, 0), 0});
  };
  const bool whole = for_each_frame(memory, python, state, visit, kMaxFrames);
  stack.complete = whole && sound;
  if (segment != 0) stack.segments.push_back({segment, 0});
  // From 3.15 on the interpreter has a frame of its own below all others, which no C code runs.
  if (!stack.segments.empty() && stack.segments.back().frames == 0) stack.segments.pop_back();
  return stack;
}

}  // namespace memsnap
