#pragma once

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "attach/base/log.h"
#include "attach/process_id.h"
#include "inject/control/agent_mapping.h"
#include "inject/control/unload.h"

namespace memsnap {

// How many processes a session may still track, shared by all its memsnaps.
class ChildBudget {
 public:
  explicit ChildBudget(std::uint32_t most);
  ~ChildBudget();
  ChildBudget(const ChildBudget&) = delete;
  ChildBudget& operator=(const ChildBudget&) = delete;
  bool take();  // false: none is left
  void give_back() { ++*left_; }

 private:
  std::atomic<std::uint32_t>* left_;
};

// Finds the children that a tracked process forks, and has each tracked by a memsnap of its own, which this one forks.
// They end when this one ends, in whatever way, each with its own capture.
class ForkFollower {
 public:
  // What the memsnap of one child does, from its cleaning to its capture; gives its exit status.
  using Follow = std::function<int(pid_t child)>;
  struct Child {
    pid_t pid = 0;
    int status = 0;  // exit status of its memsnap, 128 + N: killed by a signal
  };

  ForkFollower(const ProcessId& tracked, const AgentPlace& place, const StopLimits& limits, ChildBudget& budget,
               Follow follow, Log& log);
  ~ForkFollower();
  ForkFollower(const ForkFollower&) = delete;
  ForkFollower& operator=(const ForkFollower&) = delete;

  void poll();
  void ask_to_end();  // the memsnaps of all children
  void end();         // and waits for them
  const std::vector<Child>& ended() const { return ended_; }

 private:
  struct Seen {
    std::uint64_t start_time = 0;
    unsigned looks = 0;
    bool settled = false;
  };
  void look_at(pid_t pid);
  void start(pid_t child);
  void reap(bool wait);
  void note_end(pid_t memsnap, int status);

  pid_t tracked_;
  std::uint64_t start_time_;
  AgentPlace place_;
  StopLimits limits_;
  ChildBudget& budget_;
  Follow follow_;
  Log& log_;
  std::map<pid_t, Seen> seen_;
  std::map<pid_t, pid_t> children_;  // by their memsnaps
  std::vector<Child> ended_;
  std::chrono::steady_clock::time_point next_search_{};
  bool told_full_ = false;
};

}  // namespace memsnap
