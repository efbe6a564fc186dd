#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "tests/integration/forked_target.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

struct Interpreter {
  std::string name;
  std::vector<std::string> command;
};

// Lines "NAME VERSION COMMAND..." of the file MEMSNAP_PYTHONS, else the one command MEMSNAP_PYTHON.
std::vector<Interpreter> interpreters() {
  std::vector<Interpreter> found;
  const auto words_of = [](const std::string& line) {
    std::istringstream in(line);
    return std::vector<std::string>(std::istream_iterator<std::string>(in), {});
  };
  if (const char* file = std::getenv("MEMSNAP_PYTHONS")) {
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
      const auto words = words_of(line);
      if (words.size() >= 3) found.push_back({words[0], {words.begin() + 2, words.end()}});
    }
  }
  const char* const one = std::getenv("MEMSNAP_PYTHON");
  if (found.empty() && one != nullptr) found.push_back({one, words_of(one)});
  return found;
}

// An interpreter that runs `program` and writes lines to us.
class Python {
 public:
  Python(const std::vector<std::string>& command, const std::string& program) {
    int ends[2] = {};
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      std::vector<std::string> words = command;
      words.insert(words.end(), {"-u", "-c", program});
      std::vector<char*> arguments;
      for (std::string& word : words) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      ::execvp(arguments[0], arguments.data());
      ::_exit(127);
    }
    ::close(ends[1]);
    output_ = FileDescriptor(ends[0]);
  }
  ~Python() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Python(const Python&) = delete;
  Python& operator=(const Python&) = delete;
  pid_t pid() const { return pid_; }
  std::string line() const {
    std::string text;
    for (char byte = 0; ::read(output_.get(), &byte, 1) == 1 && byte != '\n';) text += byte;
    return text;
  }

 private:
  pid_t pid_ = 0;
  FileDescriptor output_;
};

void expect_python(const std::string& program, const std::function<void(const Python&)>& test) {
  const auto all = interpreters();
  if (all.empty()) GTEST_SKIP() << "no interpreter is given";
  for (const Interpreter& interpreter : all) {
    SCOPED_TRACE(interpreter.name);
    const Python python(interpreter.command, program);
    ASSERT_EQ(python.line(), "ready");
    test(python);
  }
}

TEST(FreezePython, SleepingBusyAndThreaded) {
  const std::string program = R"(
import threading, time
def busy():
    while True: sum(range(1000))
for _ in range(4): threading.Thread(target=busy, daemon=True).start()
print("ready")
end = time.monotonic() + 1.5
while time.monotonic() < end: time.sleep(0.01)
print("done")
time.sleep(1000)
)";
  expect_python(program, [](const Python& python) {
    for (int i = 0; i < 20; ++i) {
      const auto frozen = freeze_now(python.pid());
      ASSERT_NE(frozen->child(), nullptr);
      EXPECT_EQ(frozen->facts().threads, 5u);
      EXPECT_GT(frozen->map().mappings().size(), 10u);
      EXPECT_TRUE(frozen->release().empty());
    }
    EXPECT_EQ(python.line(), "done");
    EXPECT_EQ(children_of(python.pid()), "");
  });
}

// A timer of an event loop is a wait with a limit: stopped again and again it must not begin anew each time.
TEST(FreezePython, EventLoopTimerFiresInTime) {
  const std::string program = R"(
import asyncio, time
async def main():
    print("ready")
    begin = time.monotonic()
    await asyncio.sleep(2)
    print("fired" if time.monotonic() - begin < 2.5 else time.monotonic() - begin)
asyncio.run(main())
time.sleep(1000)
)";
  expect_python(program, [](const Python& python) {
    for (int i = 0; i < 6; ++i) {
      freeze_now(python.pid());
      std::this_thread::sleep_for(milliseconds(250));
    }
    EXPECT_EQ(python.line(), "fired");
  });
}

TEST(FreezePython, SubprocessesAndSignalHandlersWork) {
  const std::string program = R"(
import signal, subprocess, sys
seen = []
signal.signal(signal.SIGCHLD, lambda *_: seen.append(1))
print("ready")
for i in range(30):
    if subprocess.call([sys.executable, "-S", "-c", "pass"]) != 0: print("failed")
print(len(seen))
import time; time.sleep(1000)
)";
  expect_python(program, [](const Python& python) {
    const auto end = steady_clock::now() + milliseconds(1000);
    while (steady_clock::now() < end) freeze_now(python.pid());
    EXPECT_EQ(python.line(), "30");
  });
}

}  // namespace
}  // namespace memsnap
