#include "snapshot/cpython/frames.h"

#include <optional>

namespace memsnap {
namespace {

FrameKind kind_of(const HeapLayout::Frame& layout, std::uint8_t owner) {
  if (owner >= layout.first_c_owner) return FrameKind::kInterpreter;
  switch (owner) {
    case 1:
      return FrameKind::kGenerator;
    case 2:
      return FrameKind::kObjectOwned;
    default:
      return FrameKind::kThreadOwned;
  }
}

struct Step {
  RunningFrame frame;
  std::uint64_t previous = 0;
};

std::optional<Step> read_frame_object(const ProcessMemory& memory, const HeapLayout& layout, std::uint64_t address) {
  const auto code = memory.try_read<std::uint64_t>(address + layout.frame_object.f_code);
  const auto back = memory.try_read<std::uint64_t>(address + layout.frame_object.f_back);
  if (!code || !back) return std::nullopt;
  return Step{.frame = {.address = address, .code = *code, .kind = FrameKind::kFrameObject, .entry = true},
              .previous = *back};
}

std::optional<Step> read_interpreter_frame(const ProcessMemory& memory, const HeapLayout& layout,
                                           std::uint64_t address) {
  const auto executable = memory.try_read<std::uint64_t>(address + layout.frame.executable);
  const auto previous = memory.try_read<std::uint64_t>(address + layout.frame.previous);
  const auto owner = memory.try_read<std::uint8_t>(address + layout.frame.owner);
  if (!executable || !previous || !owner) return std::nullopt;
  Step step{.frame = {.address = address, .kind = kind_of(layout.frame, *owner)}, .previous = *previous};
  if (step.frame.kind != FrameKind::kInterpreter)
    step.frame.code = *executable & ~static_cast<std::uint64_t>(layout.frame.tag_mask);
  if (layout.frame.entry != 0)
    step.frame.entry = memory.try_read<std::uint8_t>(address + layout.frame.entry).value_or(0) != 0;
  return step;
}

}  // namespace

bool for_each_frame(const ProcessMemory& memory, const PythonProcess& python, const ThreadState& thread,
                    const std::function<void(const RunningFrame&)>& visit, std::uint64_t limit) {
  const HeapLayout& layout = python.layout;
  const auto read = layout.frame.size == 0 ? read_frame_object : read_interpreter_frame;
  std::uint64_t milestone = 0;  // Brent's way of noticing a circle
  std::uint64_t next_milestone = 64;
  std::uint64_t visited = 0;
  for (std::uint64_t address = thread.current_frame; address != 0; ++visited) {
    if (visited == limit || address == milestone) return false;
    if (visited == next_milestone) {
      milestone = address;
      next_milestone *= 2;
    }
    const auto step = read(memory, layout, address);
    if (!step) return false;
    visit(step->frame);
    address = step->previous;
  }
  return true;
}

}  // namespace memsnap
