#pragma once

#include <gtest/gtest.h>
#include <malloc.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attach/base/error.h"
#include "inject/control/fingerprint.h"
#include "inject/control/left_tracking.h"
#include "inject/control/tracking.h"
#include "tests/integration/forked_target.h"

namespace memsnap {

inline std::span<const std::byte> stand_in_agent() {
  static const std::vector<std::byte> bytes = [] {
    const std::string text = read_whole(MEMSNAP_STAND_IN_AGENT);
    const auto* const begin = reinterpret_cast<const std::byte*>(text.data());
    return std::vector<std::byte>(begin, begin + text.size());
  }();
  return bytes;
}

// An instrumented target maps things of its own all the time.
#ifdef __SANITIZE_ADDRESS__
inline constexpr bool kStill = false;
#else
inline constexpr bool kStill = true;
#endif

inline std::uint64_t cycles_wanted(std::uint64_t few) {
  const char* const wanted = std::getenv("MEMSNAP_CYCLES");
  if (wanted == nullptr && !kStill) return 2;  // each takes seconds
  return wanted == nullptr ? few : std::strtoull(wanted, nullptr, 10);
}

inline TrackingSetup test_setup() {
  TrackingSetup setup;
  setup.period = 1;
  setup.image = stand_in_agent();
  return setup;
}

// Says on failure what the log had to say.
class TestLog final : public Log {
 public:
  void warning(std::string_view, std::string_view message) override { add(message); }
  void info(std::string_view, std::string_view message) override { add(message); }
  void debug(std::string_view, std::string_view message) override { add(message); }
  const std::string& text() const { return text_; }

 private:
  void add(std::string_view message) { text_.append(message).append("\n"); }
  std::string text_;
};

// Allocates in the main thread and in three others, and checks what it gets: words[0] counts what was wrong, words 1 to
// 4 what each has done.
inline void hammer(TargetNotes& notes) {
  ::mallopt(M_ARENA_MAX, 1);
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  const auto work = [&notes](std::size_t index) {
    std::vector<std::pair<unsigned char*, std::size_t>> blocks(64, {nullptr, 0});
    unsigned seed = static_cast<unsigned>(index) + 1;
    for (;;) {
      seed = seed * 1103515245 + 12345;
      auto& [block, size] = blocks[seed >> 8 & 63];
      if (block != nullptr && (block[0] != (size & 0xff) || block[size - 1] != (size & 0xff))) ++notes.words[0];
      std::free(block);
      size = 1 + (seed >> 4 & 4095);
      block = static_cast<unsigned char*>(std::malloc(size));
      block[0] = block[size - 1] = static_cast<unsigned char>(size & 0xff);
      ++notes.words[index];
    }
  };
  for (std::size_t i = 2; i < 5; ++i) std::thread(work, i).detach();
  notes.ready = 1;
  work(1);
}

// The compiler leaves out a pair of calls that has no effect.
inline void use_malloc(std::size_t size) {
  void* volatile block = std::malloc(size);
  std::free(block);
}

// Allocates now and then, and maps nothing of its own.
inline void tick(TargetNotes& notes) {
  notes.ready = 1;
  for (;;) {
    use_malloc(100);
    ::usleep(300);
    ++notes.words[1];
  }
}

// What is told to a target by `stop`, and answered by `ready`.
inline void wait_for(const TargetNotes& notes, int told) {
  while (notes.stop < told) ::usleep(200);
}

// Ticks until it is told something else.
inline void tick_until(TargetNotes& notes, int told) {
  while (notes.stop < told) {
    use_malloc(50);
    ::usleep(200);
    ++notes.words[1];
  }
}

inline bool goes_on(const ForkedTarget& target, std::size_t word = 1) {
  const auto before = target.word(word);
  return ForkedTarget::wait_until([&] { return target.word(word) > before + 3; }) && target.word(0) == 0;
}

// What the stand-in counts.
inline AgentThread counters(const Tracking& tracking) {
  AgentThread thread{};
  const auto offset = static_cast<off_t>(tracking.header().sections.threads.offset);
  EXPECT_EQ(::pread(tracking.descriptor(), &thread, sizeof(thread), offset), static_cast<ssize_t>(sizeof(thread)));
  return thread;
}

// The agent sees what the target allocates.
inline bool counts(const Tracking& tracking) {
  const auto before = counters(tracking).allocations;
  return ForkedTarget::wait_until([&] { return counters(tracking).allocations > before + 3; });
}

inline std::string joined(const std::vector<std::string>& lines) {
  std::string all;
  for (const std::string& line : lines) all.append(line).append("\n");
  return all;
}

inline void expect_all_gone(const ForkedTarget& target) {
  TestLog log;
  const ProcessId id = ProcessId::open(target.pid());
  const auto end = end_left_tracking(id, {}, log);
  ASSERT_TRUE(end.has_value());
  EXPECT_EQ(joined(end->left_behind), "") << log.text();
  EXPECT_TRUE(find_agents(target.pid()).empty());
}

}  // namespace memsnap
