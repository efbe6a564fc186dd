#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <thread>

#include "attach/frozen_process.h"

namespace memsnap {

// What a target and its test tell each other.
struct TargetNotes {
  std::atomic<int> ready{0};
  std::atomic<int> stop{0};
  std::array<std::atomic<std::uint64_t>, 64> words{};
};

// A copy of this test that runs `body` and nothing else; killed at the end. Its functions lie where ours do.
class ForkedTarget {
 public:
  explicit ForkedTarget(const std::function<void(TargetNotes&)>& body) {
    void* const shared =
        ::mmap(nullptr, sizeof(TargetNotes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    notes_ = new (shared) TargetNotes;
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    body(*notes_);
    ::_exit(0);
  }
  ~ForkedTarget() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    ::munmap(notes_, sizeof(TargetNotes));
  }
  ForkedTarget(const ForkedTarget&) = delete;
  ForkedTarget& operator=(const ForkedTarget&) = delete;

  pid_t pid() const { return pid_; }
  TargetNotes& notes() const { return *notes_; }
  std::uint64_t word(std::size_t index) const { return notes_->words.at(index); }
  void wait_ready(int count = 1) const {
    wait_until([&] { return notes_->ready >= count; });
  }
  // The status it ends with, by itself.
  int wait_end() {
    int status = -1;
    wait_until([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; });
    if (status != -1) pid_ = 0;
    return status;
  }

  static bool wait_until(const std::function<bool()>& done,
                         std::chrono::milliseconds limit = std::chrono::milliseconds(20000)) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while (!done()) {
      if (std::chrono::steady_clock::now() > deadline) {
        ADD_FAILURE() << "waited too long";
        return false;
      }
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    return true;
  }

 private:
  pid_t pid_ = 0;
  TargetNotes* notes_ = nullptr;
};

inline std::string read_whole(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// State letter of a process; 'X' when it is gone.
inline char state_of(pid_t pid) {
  const std::string stat = read_whole("/proc/" + std::to_string(pid) + "/stat");
  const std::size_t close = stat.rfind(')');
  return close == std::string::npos ? 'X' : stat[close + 2];
}

inline std::string children_of(pid_t pid) {
  std::string all;
  const std::string task = "/proc/" + std::to_string(pid) + "/task/";
  for (const auto& entry : std::filesystem::directory_iterator(task)) all += read_whole(entry.path() / "children");
  return all;
}

inline std::unique_ptr<FrozenProcess> freeze_now(pid_t pid, Method method = Method::kFreeze) {
  static std::map<pid_t, std::unique_ptr<ProcessId>> ids;  // a frozen process refers to its id
  NullLog log;
  auto& id = ids[pid];
  id = std::make_unique<ProcessId>(ProcessId::open(pid));
  return freeze(*id, {.method = method}, log);
}

}  // namespace memsnap
