#include "report/cli/doctor_checks.h"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "attach/cached_memory.h"
#include "attach/elf_image.h"
#include "attach/memory_guard.h"
#include "attach/memory_map.h"
#include "attach/preflight.h"
#include "report/cli/process_facts.h"
#include "report/text_layout.h"
#include "snapshot/memory/foreign_malloc.h"
#include "snapshot/threads/system_calls.h"
#include "snapshot/threads/tasks.h"

namespace memsnap {
namespace {

constexpr int kOldestKernel = 4 * 1000 + 18;
constexpr double kLongWait = 60;  // seconds: worth a word
constexpr unsigned kCapSysPtrace = 19;
constexpr auto kRseqQuery = static_cast<__ptrace_request>(0x420f);  // PTRACE_GET_RSEQ_CONFIGURATION, from Linux 5.13 on
constexpr std::uint64_t kResidentForOneFileByte = 8;  // a heap snapshot takes about an eighth of what is resident

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::string link_of(const std::string& path) {
  std::error_code error;
  const auto target = std::filesystem::read_symlink(path, error);
  return error ? "" : target.string();
}

// "6.1.0-18-amd64" is 6001.
int kernel_number(const std::string& release) {
  int major = 0;
  int minor = 0;
  const auto first = std::from_chars(release.data(), release.data() + release.size(), major);
  if (first.ec != std::errc() || first.ptr == release.data() + release.size() || *first.ptr != '.') return 0;
  std::from_chars(first.ptr + 1, release.data() + release.size(), minor);
  return major * 1000 + minor;
}

bool has_ptrace_capability() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!line.starts_with("CapEff:")) continue;
    return (std::strtoull(line.c_str() + line.find_first_of("0123456789abcdef", 7), nullptr, 16) >> kCapSysPtrace &
            1) != 0;
  }
  return false;
}

class Checklist {
 public:
  void ok(std::string id, std::string text) { add(Verdict::kOk, std::move(id), std::move(text), ""); }
  void note(std::string id, std::string text) { add(Verdict::kNote, std::move(id), std::move(text), ""); }
  void warn(std::string id, std::string text, std::string hint) {
    add(Verdict::kWarning, std::move(id), std::move(text), std::move(hint));
  }
  void bad(ExitCode code, std::string id, std::string text, std::string hint) {
    add(Verdict::kBad, std::move(id), std::move(text), std::move(hint));
    if (result_.code == ExitCode::kDone) result_.code = code;
  }
  DoctorResult take() { return std::move(result_); }

 private:
  void add(Verdict verdict, std::string id, std::string text, std::string hint) {
    result_.checks.push_back({verdict, std::move(id), std::move(text), std::move(hint)});
  }
  DoctorResult result_;
};

bool has_pidfd() {
  return static_cast<bool>(FileDescriptor(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0))));
}

// Asked of a child made for it, since the kernel answers only a tracer.
bool has_rseq_query() {
  const pid_t child = ::fork();
  if (child < 0) return false;
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) ::pause();
  }
  std::array<std::byte, 64> answer{};
  const bool asked = ::ptrace(PTRACE_SEIZE, child, nullptr, nullptr) == 0 &&
                     ::ptrace(PTRACE_INTERRUPT, child, nullptr, nullptr) == 0 && ::waitpid(child, nullptr, 0) == child;
  const bool there = asked && ::ptrace(kRseqQuery, child, answer.size(), answer.data()) > 0;
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return there;
}

void check_kernel(Checklist& list) {
  utsname name{};
  ::uname(&name);
  const std::string release = name.release;
  const int number = kernel_number(release);
  const std::string machine = name.machine;
  if (machine != "x86_64") {
    list.bad(ExitCode::kUnsupported, "machine", fmt::format("the machine is {}", machine), "memsnap knows x86-64 only");
  }
  if (number != 0 && number < kOldestKernel) {
    list.bad(ExitCode::kUnsupported, "kernel", fmt::format("kernel {}", release), "4.18 is the oldest supported");
    return;
  }
  list.ok("kernel", fmt::format("kernel {}, {}; pidfd {}, rseq query {}", release, machine,
                                has_pidfd() ? "present" : "not there (start time is used)",
                                has_rseq_query() ? "present" : "not there"));
}

void check_yama(Checklist& list, bool privileged) {
  const std::string scope = first_line("/proc/sys/kernel/yama/ptrace_scope");
  if (scope.empty()) return list.ok("yama", "no Yama: the uid decides");
  const std::string text = fmt::format("kernel.yama.ptrace_scope = {}", scope);
  if (scope == "0") return list.ok("yama", text);
  if (scope == "3") {
    return list.bad(ExitCode::kNoPermission, "yama", text,
                    "nobody may attach until the next boot: --method read cannot either");
  }
  if (privileged) return list.ok("yama", text + ", which does not bind CAP_SYS_PTRACE");
  list.warn("yama", text, "attach needs root, CAP_SYS_PTRACE" + std::string(scope == "1" ? " or a parent" : ""));
}

void check_python(Checklist& list, const ProcessFacts& facts) {
  const PythonFacts python = read_python(facts.info.pid);
  if (!python.error) {
    return list.ok("python", fmt::format("{} is CPython {}, its layout is verified", facts.info.pid, python.version));
  }
  std::string hint = python.error->hint();
  for (std::size_t at = 0; (at = hint.find('\n', at)) != std::string::npos;) hint.replace(at, 1, "; ");
  list.bad(python.error->code(), "python", python.error->what(), hint);
}

void check_allocator(Checklist& list, pid_t pid) {
  const std::string foreign = foreign_malloc(loaded_images(pid, MemoryMap::of(pid), LiveMemory(pid)));
  if (foreign.empty()) return list.ok("allocator", "malloc is the C library's: its free memory can be told");
  list.note("allocator", fmt::format("malloc is {}: its free memory is not told from what is in use", foreign));
}

void check_main_thread(Checklist& list, pid_t pid) {
  std::vector<Task> tasks = read_tasks(pid);
  if (tasks.empty() || tasks.front().idle_seconds < kLongWait) return;
  tasks.resize(1);
  add_running_calls(pid, tasks);
  const Task& task = tasks.front();
  if (!task.call) return;
  list.note("main_thread",
            fmt::format("main thread has been in {} for {}: fine for a snapshot; memsnap threads {} says more",
                        system_call_name(task.call->number), duration_text(task.idle_seconds), pid));
}

void check_state(Checklist& list, const ProcessFacts& facts) {
  if (facts.tracer != 0) {
    const auto tracer = read_process(facts.tracer);
    list.bad(ExitCode::kBusy, "tracer",
             fmt::format("process {} ({}) traces it", facts.tracer, tracer ? tracer->info.name : "?"),
             "end it, or read without a stop: --method read");
  } else {
    list.ok("tracer", "no other tracer");
  }
  if (facts.state == 'T') list.note("state", "it is stopped (SIGSTOP): fine, and it stays so");
  if (facts.state == 'D') list.note("state", "its main thread is in uninterruptible sleep: that thread is not stopped");
  if (facts.seccomp == 2) {
    list.note("seccomp",
              "a seccomp filter is active: where it does not let a clone through, the process is stopped longer");
  }
  const std::string proc = fmt::format("/proc/{}/ns/", facts.info.pid);
  const bool same = link_of(proc + "mnt") == link_of("/proc/self/ns/mnt");
  if (!same) list.ok("namespace", "mount namespace differs: nothing of it is needed, its files are read from memory");
}

// Asks what a snapshot asks before it touches anything, and says what it would do.
void check_room(Checklist& list, pid_t pid, const FreezeOptions& freeze) {
  bool stops = false;
  try {
    if (freeze.method == Method::kRead) return;
    if (freeze.method == Method::kStop) return require_room_for_copy(pid);
    require_room(pid, freeze, &stops);
  } catch (const Error& error) {
    if (!stops) return list.bad(error.code(), "room", error.what(), error.hint());
    return list.warn("room", error.what(),
                     fmt::format("a snapshot stops it instead, for about {} ms",
                                 predicted_copy_pause(read_freeze_cost(pid)).count()));
  }
  const auto limits = memory_limits(pid);
  const auto left = memory_headroom(limits);
  if (!left) return;
  const std::uint64_t need = predicted_child_memory(read_freeze_cost(pid), true) + last_headroom(limits);
  list.ok("room", fmt::format("{} are left below its memory limit, a frozen copy may need {}",
                              bytes_text(*left, Units::kIec), bytes_text(need, Units::kIec)));
}

void check_space(Checklist& list, const ProcessFacts& facts, std::string directory) {
  std::error_code error;
  while (!directory.empty() && !std::filesystem::exists(directory, error)) {
    directory = std::filesystem::path(directory).parent_path();
  }
  if (directory.empty()) directory = ".";
  struct statvfs space {};
  if (::statvfs(directory.c_str(), &space) != 0) return;
  const std::uint64_t free = std::uint64_t{space.f_bavail} * space.f_frsize;
  const std::uint64_t needed = facts.rss / kResidentForOneFileByte;
  const std::string text = fmt::format("{} has {} free, a heap snapshot needs about {}", directory,
                                       bytes_text(free, Units::kIec), bytes_text(needed, Units::kIec));
  if (free < needed) {
    list.warn("space", text, "write elsewhere with -o, or take --kind types");
  } else {
    list.ok("space", text);
  }
}

}  // namespace

DoctorResult check_machine() {
  Checklist list;
  check_kernel(list);
  const bool privileged = has_ptrace_capability();
  check_yama(list, privileged);
  if (privileged) {
    list.ok("rights", ::geteuid() == 0 ? "running as root, with CAP_SYS_PTRACE" : "CAP_SYS_PTRACE is there");
  } else {
    list.note("rights", fmt::format("running as uid {} without CAP_SYS_PTRACE: its own processes only", ::geteuid()));
  }
  return list.take();
}

DoctorResult check_process(pid_t pid, const std::string& directory, const FreezeOptions& freeze) {
  Checklist list;
  const auto facts = read_process(pid);
  if (!facts) {
    list.bad(ExitCode::kNoSuchProcess, "process", fmt::format("there is no process {} with memory of its own", pid),
             "memsnap ps lists the Python processes");
    return list.take();
  }
  if (!may_attach(pid)) {
    const AccessFacts access = read_access_facts(pid);
    std::string why;
    for (const auto& lines : {refusal_reasons(access), refusal_hints(access)}) {
      for (const std::string& line : lines) why += (why.empty() ? "" : "; ") + line;
    }
    list.bad(ExitCode::kNoPermission, "permission",
             fmt::format("the kernel does not let this user look at {} (user {})", pid, facts->info.user), why);
    return list.take();
  }
  list.ok("permission", fmt::format("the kernel lets this user look at {} (user {})", pid, facts->info.user));
  check_python(list, *facts);
  check_allocator(list, pid);
  check_state(list, *facts);
  check_main_thread(list, pid);
  check_room(list, pid, freeze);
  check_space(list, *facts, directory);
  return list.take();
}

}  // namespace memsnap
