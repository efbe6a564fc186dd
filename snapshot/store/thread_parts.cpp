#include "snapshot/store/thread_parts.h"

#include <algorithm>
#include <cmath>

#include "snapshot/store/parts.h"
#include "snapshot/store/text_list.h"
#include "snapshot/store/value_stream.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMostTid = 0x7fffffff;
constexpr std::uint64_t kMostMilliseconds = std::uint64_t{1} << 50;
constexpr std::uint64_t kMostFlags = 0xff;

constexpr std::uint64_t kHasNative = 1;
constexpr std::uint64_t kPartial = 2;
constexpr std::uint64_t kAllWait = 4;

std::uint64_t milliseconds(double seconds) {
  if (!(seconds >= 0)) return 0;
  return std::min(static_cast<std::uint64_t>(std::llround(std::min(seconds, 1e12) * 1000)), kMostMilliseconds - 1) + 1;
}

ThreadStack read_thread(ValueReader& values, std::uint64_t last_text) {
  ThreadStack thread;
  thread.tid = static_cast<std::int32_t>(values.get_up_to(kMostTid));
  thread.name = static_cast<StringId>(values.get_up_to(last_text));
  thread.flags = static_cast<std::uint8_t>(values.get_up_to(kMostFlags));
  thread.wait = static_cast<WaitKind>(values.get_up_to(static_cast<std::uint64_t>(WaitKind::kThreadEnd)));
  thread.waits = static_cast<StringId>(values.get_up_to(last_text));
  thread.owner = static_cast<std::int32_t>(values.get_up_to(kMostTid));
  const std::uint64_t waited = values.get_up_to(kMostMilliseconds);
  if (waited != 0) thread.wait_seconds = static_cast<double>(waited - 1) / 1000;
  thread.interpreter = unzigzag(values.get());
  return thread;
}

}  // namespace

void write_threads(ContainerWriter& out, const ThreadStacks& stacks) {
  write_text_list(out, kPartIdThreadTexts, stacks.strings);
  ValueWriter values(out, kPartIdThreads);
  values.put(static_cast<std::uint64_t>(stacks.gil_held));
  values.put(static_cast<std::uint64_t>(stacks.gil_holder));
  values.put(static_cast<std::uint64_t>(stacks.collecting));
  values.put((stacks.has_native ? kHasNative : 0u) | (stacks.partial ? kPartial : 0u) |
             (stacks.all_wait ? kAllWait : 0u));
  values.put(stacks.threads.size());
  std::uint64_t address = 0;
  for (const ThreadStack& thread : stacks.threads) {
    values.put(static_cast<std::uint64_t>(thread.tid));
    values.put(thread.name);
    values.put(thread.flags);
    values.put(static_cast<std::uint64_t>(thread.wait));
    values.put(thread.waits);
    values.put(static_cast<std::uint64_t>(thread.owner));
    values.put(milliseconds(thread.wait_seconds));
    values.put(zigzag(thread.interpreter));
    values.put(thread.frame_count);
    for (std::uint32_t i = 0; i < thread.frame_count; ++i) {
      const StackFrame& frame = stacks.frames[thread.frame_begin + i];
      values.put(frame.function);
      values.put(frame.file);
      values.put(static_cast<std::uint64_t>(frame.line));
      values.put(frame.native ? 1 : 0);
      values.put(zigzag(static_cast<std::int64_t>(frame.address - address)));
      address = frame.address;
    }
  }
  values.put(stacks.deadlocks.size());
  for (const auto& circle : stacks.deadlocks) {
    values.put(circle.size());
    for (const std::int32_t tid : circle) values.put(static_cast<std::uint64_t>(tid));
  }
  values.finish();
}

ThreadStacks read_threads(ContainerReader& in) {
  ThreadStacks stacks;
  stacks.strings = read_text_list(in, kPartIdThreadTexts);
  const std::uint64_t last_text = stacks.strings.size() - 1;
  ValueReader values(in, *in.find(kPartIdThreads));
  constexpr auto kMostTristate = static_cast<std::uint64_t>(Tristate::kUnknown);
  stacks.gil_held = static_cast<Tristate>(values.get_up_to(kMostTristate));
  stacks.gil_holder = static_cast<std::int32_t>(values.get_up_to(kMostTid));
  stacks.collecting = static_cast<Tristate>(values.get_up_to(kMostTristate));
  const std::uint64_t facts = values.get_up_to(kMostFlags);
  stacks.has_native = (facts & kHasNative) != 0;
  stacks.partial = (facts & kPartial) != 0;
  stacks.all_wait = (facts & kAllWait) != 0;
  const std::uint64_t threads = values.get_up_to(values.items());
  std::uint64_t address = 0;
  for (std::uint64_t i = 0; i < threads; ++i) {
    ThreadStack thread = read_thread(values, last_text);
    thread.frame_begin = static_cast<std::uint32_t>(stacks.frames.size());
    thread.frame_count =
        static_cast<std::uint32_t>(values.get_up_to(std::min<std::uint64_t>(values.items(), kMostTid)));
    for (std::uint32_t j = 0; j < thread.frame_count; ++j) {
      StackFrame frame;
      frame.function = static_cast<StringId>(values.get_up_to(last_text));
      frame.file = static_cast<StringId>(values.get_up_to(last_text));
      frame.line = static_cast<std::int32_t>(values.get_up_to(kMostTid));
      frame.native = values.get_up_to(1) != 0;
      frame.address = address += static_cast<std::uint64_t>(unzigzag(values.get()));
      stacks.frames.push_back(frame);
    }
    stacks.threads.push_back(thread);
  }
  const std::uint64_t circles = values.get_up_to(values.items());
  for (std::uint64_t i = 0; i < circles; ++i) {
    std::vector<std::int32_t>& circle = stacks.deadlocks.emplace_back();
    const std::uint64_t size = values.get_up_to(values.items());
    for (std::uint64_t j = 0; j < size; ++j) circle.push_back(static_cast<std::int32_t>(values.get_up_to(kMostTid)));
  }
  values.finish();
  return stacks;
}

}  // namespace memsnap
