#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <thread>

#include "attach/base/log.h"
#include "snapshot/session/track_allocations.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;

std::uint64_t passed_by(const TableReader& tables) {
  std::uint64_t sum = 0;
  for (const AgentThread& thread : tables.read().threads) sum += thread.allocations;
  return sum;
}

TEST(Lease, IsRenewedWhileTheLastLookTakesLonger) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::execl("/usr/bin/python3", "python3", "-c", "while True: bytearray(5000)", nullptr);
    ::_exit(127);
  }
  std::this_thread::sleep_for(milliseconds(500));
  TrackingRequest request;
  request.pid = pid;
  request.duration = milliseconds(100);
  request.lease = milliseconds(400);
  std::uint64_t then = 0;
  std::uint64_t later = 0;
  request.before_end = [&](const TableReader& tables, SliceRecorder&) {
    std::this_thread::sleep_for(3 * request.lease);
    then = passed_by(tables);
    std::this_thread::sleep_for(request.lease);
    later = passed_by(tables);
  };
  NullLog log;
  const TrackingResult result = track_allocations(request, log);
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);

  EXPECT_GT(later, then);
  EXPECT_TRUE(result.left_behind.empty());
}

}  // namespace
}  // namespace memsnap
