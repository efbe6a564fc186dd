#include "snapshot/threads/native_merge.h"

#include <span>
#include <string_view>

namespace memsnap {
namespace {

constexpr std::string_view kTailCalled = "_TAIL_CALL_";  // 3.14+: an instruction of the loop as a function of its own

struct Calls {
  std::span<const PythonFrame> frames;
  std::uint64_t loop_local = 0;
};

std::vector<Calls> segments_of(const SeenThread& thread) {
  std::vector<Calls> segments;
  for (const PythonStack& stack : thread.stacks) {
    std::size_t begin = 0;
    for (const Segment& segment : stack.segments) {
      segments.push_back({std::span(stack.frames).subspan(begin, segment.frames), segment.loop_local});
      begin += segment.frames;
    }
  }
  return segments;
}

std::vector<std::size_t> loops_by_name(const SeenThread& thread) {
  std::vector<std::size_t> loops;
  const auto& symbols = thread.symbols;
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    const bool tail_called = symbols[i].function.starts_with(kTailCalled);
    const bool again = tail_called && i + 1 < symbols.size() && symbols[i + 1].function.starts_with(kEvaluationLoop);
    if ((symbols[i].function.starts_with(kEvaluationLoop) || tail_called) && !again) loops.push_back(i);
  }
  return loops;
}

// The frames in which the loops' own variables lie, one for each segment. Empty when one is not found: programs without
// names have them too, but releases before 3.12 have no such variable.
std::vector<std::size_t> loops_by_local(const SeenThread& thread, const std::vector<Calls>& segments) {
  std::vector<std::size_t> loops;
  const auto& frames = thread.native.frames;
  std::size_t at = 0;
  for (const Calls& segment : segments) {
    while (at + 1 < frames.size() && frames[at + 1].stack_pointer <= segment.loop_local) ++at;
    if (at + 1 >= frames.size() || segment.loop_local < frames[at].stack_pointer) return {};
    loops.push_back(at++);
  }
  return loops;
}

}  // namespace

MergedStack merge(const SeenThread& thread) {
  MergedStack merged;
  const std::vector<Calls> segments = segments_of(thread);
  std::vector<std::size_t> loops = loops_by_local(thread, segments);
  if (loops.empty()) loops = loops_by_name(thread);
  // How many more there are of each at the inner end.
  std::size_t extra_segments = segments.size() > loops.size() ? segments.size() - loops.size() : 0;
  std::size_t extra_loops = loops.size() > segments.size() ? loops.size() - segments.size() : 0;
  if (!thread.native.complete) {  // the outer end is not known: counted from the inner one
    extra_segments = 0;
    extra_loops = 0;
  }
  merged.matched = extra_segments <= 1 && extra_loops <= 1 && (!loops.empty() || segments.empty());
  const auto add = [&](const Calls& segment) {
    for (const PythonFrame& frame : segment.frames) merged.frames.push_back({.python = &frame});
  };
  std::size_t next = 0;
  while (next < (merged.matched ? extra_segments : segments.size())) add(segments[next++]);
  std::size_t loop = 0;
  for (std::size_t i = 0; i < thread.native.frames.size(); ++i) {
    const bool is_loop = merged.matched && loop < loops.size() && loops[loop] == i;
    if (is_loop && loop++ >= extra_loops && next < segments.size()) {
      add(segments[next++]);
    } else {
      merged.frames.push_back({.native = i});
    }
  }
  while (next < segments.size()) add(segments[next++]);
  return merged;
}

}  // namespace memsnap
