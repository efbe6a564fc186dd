#include "report/cli/fork_follower.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <new>
#include <set>
#include <system_error>
#include <utility>

#include "attach/base/error.h"
#include "inject/control/keeper.h"
#include "inject/control/left_tracking.h"
#include "report/cli/background.h"

namespace memsnap {
namespace {

using std::chrono::steady_clock;

constexpr unsigned kMostLooks = 40;                  // a child that has not the agent by then runs another program
constexpr std::chrono::seconds kBetweenSearches{1};  // of all processes, for children whose parent has ended
constexpr std::chrono::seconds kPatience{300};       // for the memsnap of a child to take its last snapshot
constexpr std::chrono::milliseconds kPoll{20};
constexpr int kSignalled = 128;

// Children of all its threads, and theirs, proc_pid_task_children(5).
void add_descendants(pid_t pid, std::set<pid_t>& found) {
  std::error_code failed;
  std::vector<pid_t> children;
  for (std::filesystem::directory_iterator task(fmt::format("/proc/{}/task", pid), failed), end; !failed && task != end;
       task.increment(failed)) {
    std::ifstream file(task->path() / "children");
    for (pid_t child = 0; file >> child;) children.push_back(child);
  }
  for (const pid_t child : children) {
    if (found.insert(child).second) add_descendants(child, found);
  }
}

}  // namespace

ChildBudget::ChildBudget(std::uint32_t most) : left_(nullptr) {
  void* const page = ::mmap(nullptr, sizeof(*left_), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (page == MAP_FAILED) throw Error(ExitCode::kGaveUp, "there is no memory left", "");
  left_ = new (page) std::atomic<std::uint32_t>(most);
}

ChildBudget::~ChildBudget() { ::munmap(left_, sizeof(*left_)); }

bool ChildBudget::take() {
  std::uint32_t left = left_->load();
  while (left != 0 && !left_->compare_exchange_weak(left, left - 1)) {
  }
  return left != 0;
}

ForkFollower::ForkFollower(const ProcessId& tracked, const AgentPlace& place, const StopLimits& limits,
                           ChildBudget& budget, Follow follow, Log& log)
    : tracked_(tracked.pid()),
      start_time_(tracked.start_time()),
      place_(place),
      limits_(limits),
      budget_(budget),
      follow_(std::move(follow)),
      log_(log) {}

ForkFollower::~ForkFollower() {
  try {
    end();
  } catch (...) {  // they end by themselves when this process does
  }
}

void ForkFollower::poll() {
  reap(false);
  std::set<pid_t> found;
  add_descendants(tracked_, found);
  const auto now = steady_clock::now();
  if (now >= next_search_) {
    next_search_ = now + kBetweenSearches;
    for (const pid_t pid : tracked_descendants(tracked_, place_, start_time_)) found.insert(pid);
  }
  for (const pid_t pid : found) look_at(pid);
}

void ForkFollower::look_at(pid_t pid) {
  const auto start_time = start_time_of(pid);
  if (!start_time) return;
  Seen& seen = seen_[pid];
  if (seen.start_time != *start_time) seen = {.start_time = *start_time};
  if (seen.settled) return;
  if (took_agent_along(pid, place_)) {
    seen.settled = true;
    if (budget_.take()) return start(pid);
    if (!std::exchange(told_full_, true))
      log_.warning("max_children", "there are more children than --max-children: the others are not tracked");
  } else if (++seen.looks >= kMostLooks) {
    seen.settled = true;
  }
}

// The new process is a memsnap like this one, with all that is on this stack: it may not return from here.
void ForkFollower::start(pid_t child) {
  const pid_t parent = ::getpid();
  const pid_t memsnap = ::fork();
  if (memsnap < 0) return log_.warning("fork", fmt::format("child {} is not tracked: no memsnap could be made", child));
  if (memsnap > 0) {
    children_[memsnap] = child;
    return;
  }
  int status = static_cast<int>(ExitCode::kInternal);
  try {
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(0);
    close_inherited(true);
    children_.clear();
    status = follow_(child);
  } catch (...) {
  }
  ::_exit(status);
}

void ForkFollower::note_end(pid_t memsnap, int status) {
  const auto entry = children_.find(memsnap);
  if (entry == children_.end()) return;
  const pid_t child = entry->second;
  children_.erase(entry);
  ended_.push_back({child, WIFSIGNALED(status) ? kSignalled + WTERMSIG(status) : WEXITSTATUS(status)});
  if (!WIFSIGNALED(status)) return;
  log_.warning("follower_killed", fmt::format("the memsnap of child {} was killed: its capture is lost", child));
  try {
    end_left_tracking(ProcessId::open(child), limits_, log_);
  } catch (const Error& error) {
    if (error.code() != ExitCode::kNoSuchProcess) log_.warning("follower_killed", error.what());
  }
}

void ForkFollower::reap(bool wait) {
  const std::map<pid_t, pid_t> children = children_;
  for (const auto& [memsnap, child] : children) {
    int status = 0;
    if (::waitpid(memsnap, &status, wait ? 0 : WNOHANG) == memsnap) note_end(memsnap, status);
  }
}

void ForkFollower::ask_to_end() {
  for (const auto& [memsnap, child] : children_) ::kill(memsnap, SIGTERM);
}

void ForkFollower::end() {
  ask_to_end();
  const auto deadline = steady_clock::now() + kPatience;
  while (!children_.empty() && steady_clock::now() < deadline) {
    reap(false);
    if (!children_.empty()) ::usleep(static_cast<useconds_t>(std::chrono::microseconds(kPoll).count()));
  }
  for (const auto& [memsnap, child] : children_) ::kill(memsnap, SIGKILL);
  reap(true);
}

}  // namespace memsnap
