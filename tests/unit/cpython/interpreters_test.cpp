#include "snapshot/cpython/interpreters.h"

#include <gtest/gtest.h>

#include "snapshot/cpython/py_layout.h"
#include "tests/unit/cpython/fake_memory.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kRuntime = 0x100000;
constexpr std::uint64_t kInterpreters = 0x10000000;
constexpr std::uint64_t kThreads = 0x300000;

std::uint64_t interpreter_at(std::uint64_t number) { return kInterpreters + number * 0x100000; }
std::uint64_t thread_at(std::uint64_t number) { return kThreads + number * 0x1000; }

struct Target {
  explicit Target(std::uint32_t version_hex) {
    python.runtime = kRuntime;
    python.layout = layout_for(version_hex);
    memory.map(kRuntime, python.layout.runtime.size);
    memory.map(kThreads, 0x10000);
  }
  void put_interpreter(std::uint64_t number, std::uint64_t next, std::uint64_t threads) {
    const HeapLayout::Interpreter& layout = python.layout.interpreter;
    const std::uint64_t at = interpreter_at(number);
    memory.map(at, layout.size);
    memory.put(at + layout.next, next);
    memory.put(at + layout.id, number);
    memory.put(at + layout.modules, at + 1);
    memory.put(at + layout.threads_head, threads);
  }
  void put_thread(std::uint64_t number, std::uint64_t next) {
    memory.put(thread_at(number) + python.layout.thread.next, next);
    memory.put(thread_at(number) + python.layout.thread.thread_id, 100 + number);
  }
  InterpreterList read(std::uint64_t head) {
    memory.put(kRuntime + python.layout.runtime.interpreters_head, head);
    return read_interpreters(memory, python);
  }

  FakeMemory memory;
  PythonProcess python;
};

TEST(Interpreters, AreReadWithTheirThreads) {
  for (const HeapLayout& layout : all_layouts()) {
    Target target(layout.since);
    target.put_interpreter(1, interpreter_at(0), 0);
    target.put_interpreter(0, 0, thread_at(1));
    target.put_thread(1, thread_at(0));
    target.put_thread(0, 0);

    const InterpreterList list = target.read(interpreter_at(1));

    EXPECT_TRUE(list.complete);
    ASSERT_EQ(list.interpreters.size(), 2u);
    EXPECT_EQ(list.interpreters[0].id, 1);
    EXPECT_EQ(list.interpreters[1].modules, interpreter_at(0) + 1);
    ASSERT_EQ(list.interpreters[1].threads.size(), 2u);
    EXPECT_EQ(list.interpreters[1].threads[0].thread_id, 101u);
  }
}

TEST(Interpreters, TheCurrentFrameIsWhereTheReleaseKeepsIt) {
  for (const HeapLayout& layout : all_layouts()) {
    Target target(layout.since);
    target.put_interpreter(0, 0, thread_at(0));
    target.put_thread(0, 0);
    const std::uint64_t c_frame = thread_at(8);
    if (layout.thread.cframe != 0) {
      target.memory.put(thread_at(0) + layout.thread.cframe, c_frame);
      target.memory.put<std::uint64_t>(c_frame + layout.thread.cframe_current, 0xabc0);
    } else {
      const auto offset = layout.thread.frame != 0 ? layout.thread.frame : layout.thread.current_frame;
      target.memory.put<std::uint64_t>(thread_at(0) + offset, 0xabc0);
    }

    const InterpreterList list = target.read(interpreter_at(0));

    EXPECT_EQ(list.interpreters.at(0).threads.at(0).current_frame, 0xabc0u) << std::hex << layout.since;
  }
}

TEST(Interpreters, CirclesEndAndAreReported) {
  Target target(0x030d00f0);
  target.put_interpreter(0, interpreter_at(1), thread_at(0));
  target.put_interpreter(1, interpreter_at(0), 0);
  target.put_thread(0, thread_at(0));

  const InterpreterList list = target.read(interpreter_at(0));

  EXPECT_FALSE(list.complete);
  EXPECT_EQ(list.interpreters.size(), 2u);
  EXPECT_EQ(list.interpreters[0].threads.size(), 1u);
}

TEST(Interpreters, ThatShareOneListOfThreadsHaveNoMoreThanOneMayHave) {
  constexpr std::uint64_t kCount = 4000;
  Target target(0x030b07f0);
  const HeapLayout& layout = target.python.layout;
  const std::uint64_t threads = 0x20000000;
  target.memory.map(threads, kCount * 64 + layout.thread.size);
  for (std::uint64_t i = 0; i + 1 < kCount; ++i)
    target.memory.put(threads + 64 * i + layout.thread.next, threads + 64 * (i + 1));
  const std::uint64_t interpreters = 0x40000000;
  target.memory.map(interpreters, 300 * 64 + layout.interpreter.size);
  for (std::uint64_t i = 0; i < 300; ++i) {
    target.memory.put(interpreters + 64 * i + layout.interpreter.next, i < 299 ? interpreters + 64 * (i + 1) : 0);
    target.memory.put(interpreters + 64 * i + layout.interpreter.threads_head, threads);
  }

  const InterpreterList list = target.read(interpreters);

  std::size_t total = 0;
  for (const InterpreterState& interpreter : list.interpreters) total += interpreter.threads.size();
  EXPECT_LE(total, 1'000'000u);
  EXPECT_FALSE(list.complete);
}

TEST(Interpreters, AWildPointerLeavesWhatWasReadBefore) {
  Target target(0x030b07f0);
  target.put_interpreter(0, 0xdead0000, 0);

  const InterpreterList list = target.read(interpreter_at(0));

  EXPECT_FALSE(list.complete);
  EXPECT_EQ(list.interpreters.size(), 1u);
}

}  // namespace
}  // namespace memsnap
