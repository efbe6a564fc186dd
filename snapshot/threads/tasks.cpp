#include "snapshot/threads/tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "attach/registers.h"
#include "attach/stopped_process.h"

namespace memsnap {
namespace {

std::string file_text(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The value behind "key" and a colon in a line of its own; empty when there is none.
std::string field(const std::string& text, const std::string& key) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t colon = line.find(':');
    const std::size_t begin = colon == std::string::npos ? colon : line.find_first_not_of(" \t", colon + 1);
    if (begin != std::string::npos) return line.substr(begin);
  }
  return "";
}

// The scheduler's clock when a thread last ran, in milliseconds. Not every kernel tells.
std::optional<double> last_ran(const std::string& folder) {
  const std::string text = field(file_text(folder + "/sched"), "se.exec_start");
  if (text.empty()) return std::nullopt;
  return std::strtod(text.c_str(), nullptr);
}

// "202 0x7f... 0x80 ... STACK INSTRUCTION", "running", or "-1 STACK INSTRUCTION" for a thread outside a system call.
void parse_call(const std::string& text, Task& task) {
  if (text.empty()) return;
  task.call_known = true;
  if (text.starts_with("running") || text.starts_with("-1")) return;
  std::istringstream words(text);
  SystemCall call;
  words >> call.number >> std::hex;
  std::string word;
  for (std::uint64_t& argument : call.arguments) {
    words >> word;
    argument = std::strtoull(word.c_str(), nullptr, 16);
  }
  words >> word;
  if (!words) return;
  task.stack_pointer = std::strtoull(word.c_str(), nullptr, 16);
  task.call = call;
}

}  // namespace

std::vector<Task> read_tasks(pid_t pid) {
  const auto now = last_ran("/proc/thread-self");
  std::vector<Task> tasks;
  for (const pid_t tid : thread_ids(pid)) {
    const std::string folder = fmt::format("/proc/{}/task/{}", pid, tid);
    Task task{.tid = tid, .inner_tid = tid};
    task.name = file_text(folder + "/comm");
    while (!task.name.empty() && task.name.back() == '\n') task.name.pop_back();
    const std::string status = file_text(folder + "/status");
    const std::string state = field(status, "State");
    if (state.empty()) continue;  // it ended
    task.state = state.front();
    const std::string numbers = field(status, "NSpid");
    const std::size_t last = numbers.find_last_of(" \t");
    if (!numbers.empty())
      task.inner_tid =
          static_cast<pid_t>(std::strtol(numbers.c_str() + (last == std::string::npos ? 0 : last), nullptr, 10));
    const auto ran = task.sleeps() && now ? last_ran(folder) : std::nullopt;
    if (ran) task.idle_seconds = std::max(0.0, (*now - *ran) / 1000);
    tasks.insert(tid == pid ? tasks.begin() : tasks.end(), std::move(task));
  }
  return tasks;
}

void add_registers(std::vector<Task>& tasks, const std::vector<HeldThread>& held) {
  for (const HeldThread& thread : held) {
    auto task = std::find_if(tasks.begin(), tasks.end(), [&](const Task& each) { return each.tid == thread.tid; });
    if (task == tasks.end()) task = tasks.insert(tasks.end(), {.tid = thread.tid, .inner_tid = thread.tid});
    const user_regs_struct& registers = thread.registers;
    task->held = true;
    task->call_known = true;
    task->registers = registers;
    task->stack_pointer = registers.rsp;
    if (!in_system_call(registers)) continue;
    task->call = SystemCall{static_cast<std::int64_t>(registers.orig_rax),
                            {registers.rdi, registers.rsi, registers.rdx, registers.r10, registers.r8, registers.r9}};
  }
}

void add_running_calls(pid_t pid, std::vector<Task>& tasks) {
  for (Task& task : tasks) {
    if (!task.held) parse_call(file_text(fmt::format("/proc/{}/task/{}/syscall", pid, task.tid)), task);
  }
}

}  // namespace memsnap
