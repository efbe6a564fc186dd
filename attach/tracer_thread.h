#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>

namespace memsnap {

// The one thread that traces a target and its child: ptrace(2) is bound to a thread. When it ends the kernel detaches
// everything it traced, also threads in uninterruptible sleep, which nobody else could let go.
class TracerThread {
 public:
  TracerThread();
  ~TracerThread();
  TracerThread(const TracerThread&) = delete;
  TracerThread& operator=(const TracerThread&) = delete;

  // Runs `work` there and waits for it; what it throws is thrown here.
  template <typename Work>
  std::invoke_result_t<Work> run(Work work) {
    std::packaged_task<std::invoke_result_t<Work>()> task(std::move(work));
    auto result = task.get_future();
    post([&task] { task(); });
    return result.get();
  }

  // Called every `period` while nothing else runs there. Set from inside run().
  void when_idle(std::chrono::milliseconds period, std::function<void()> work);

 private:
  void post(std::function<void()> work);
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::function<void()> work_;
  bool ending_ = false;
  std::chrono::milliseconds idle_period_{1000};
  std::function<void()> idle_;  // the thread's own
  std::thread thread_;
};

}  // namespace memsnap
