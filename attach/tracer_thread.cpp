#include "attach/tracer_thread.h"

#include <csignal>

namespace memsnap {

TracerThread::TracerThread() {
  // Signals to memsnap are for the thread that waits for them: a ptrace call must not be interrupted half way.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  thread_ = std::thread([this] { loop(); });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TracerThread::~TracerThread() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void TracerThread::post(std::function<void()> work) {
  {
    const std::lock_guard lock(mutex_);
    work_ = std::move(work);
  }
  changed_.notify_one();
}

void TracerThread::when_idle(std::chrono::milliseconds period, std::function<void()> work) {
  idle_period_ = period;
  idle_ = std::move(work);
}

void TracerThread::loop() {
  for (;;) {
    std::function<void()> work;
    {
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, idle_period_, [this] { return ending_ || work_; });
      if (!work_ && ending_) return;
      work.swap(work_);
    }
    if (work) {
      work();
    } else if (idle_) {
      idle_();
    }
  }
}

}  // namespace memsnap
