#include "attach/process_id.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "attach/base/error.h"

namespace memsnap {
namespace {

ExitCode refusal(pid_t pid, std::uint64_t start_time) {
  try {
    ProcessId::open(pid, start_time);
  } catch (const Error& error) {
    return error.code();
  }
  return ExitCode::kDone;
}

TEST(ProcessId, OneThatHasThePidNowIsAnother) {
  const std::uint64_t start_time = ProcessId::open(::getpid()).start_time();
  EXPECT_EQ(refusal(::getpid(), start_time), ExitCode::kDone);
  EXPECT_EQ(refusal(::getpid(), 0), ExitCode::kDone);
  EXPECT_EQ(refusal(::getpid(), start_time + 1), ExitCode::kNoSuchProcess);
}

TEST(ProcessId, HasMemoryWhileItLives) { EXPECT_NO_THROW(ProcessId::open(::getpid()).require_memory()); }

}  // namespace
}  // namespace memsnap
