#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "attach/cached_memory.h"
#include "attach/elf_image.h"
#include "attach/memory_map.h"
#include "inject/control/agent_blob.h"
#include "snapshot/analysis/profile_totals.h"
#include "snapshot/capture/allocation_sites.h"
#include "snapshot/capture/slice_recorder.h"
#include "snapshot/cpython/python_process.h"
#include "tests/integration/tracked_target.h"

namespace memsnap {
namespace {

// Allocates when it is told to, and says where one of the objects is.
constexpr const char* kProgram = R"(
import gc, sys
gc.disable()
kept = []
class Thing:
    def __init__(self): self.a = 1
def fill():
    for i in range(200):
        kept.append(bytearray(10000))
def lost():
    return len(bytes(20000000))
def main():
    fill(); lost()
    kept.append(Thing())
kept.append(Thing())
print("ready", flush=True)
sys.stdin.readline()
main()
print(hex(id(kept[5])), hex(id(kept[-1])), flush=True)
sys.stdin.readline()
)";

class Program {
 public:
  Program() {
    std::array<int, 2> to{};
    std::array<int, 2> from{};
    EXPECT_EQ(::pipe2(to.data(), O_CLOEXEC), 0);
    EXPECT_EQ(::pipe2(from.data(), O_CLOEXEC), 0);
    const char* const one = std::getenv("MEMSNAP_PYTHON");
    std::istringstream in(one == nullptr ? "/usr/bin/python3" : one);
    std::vector<std::string> words{std::istream_iterator<std::string>(in), {}};
    words.insert(words.end(), {"-c", kProgram});
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(to[0], STDIN_FILENO);
      ::dup2(from[1], STDOUT_FILENO);
      std::vector<char*> arguments;
      for (std::string& word : words) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      ::execvp(arguments[0], arguments.data());
      ::_exit(127);
    }
    ::close(to[0]);
    ::close(from[1]);
    to_ = FileDescriptor(to[1]);
    from_ = FileDescriptor(from[0]);
  }
  ~Program() { end(); }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  pid_t pid() const { return pid_; }
  void go_on() const { EXPECT_EQ(::write(to_.get(), "\n", 1), 1); }
  std::string line() const {
    std::string text;
    for (char c = 0; ::read(from_.get(), &c, 1) == 1 && c != '\n';) text += c;
    return text;
  }
  void end() {
    if (pid_ == 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_ = 0;
  FileDescriptor to_, from_;
};

std::uint64_t symbol_of(const std::vector<std::unique_ptr<ElfImage>>& images, const char* name) {
  for (const auto& image : images) {
    if (const auto symbol = image->symbol(name)) return *symbol;
  }
  return 0;
}

TrackingSetup setup_for(pid_t pid) {
  const LiveMemory memory(pid);
  const auto images = loaded_images(pid, MemoryMap::of(pid), memory);
  const PythonProcess python = find_python(pid, images, memory);
  TrackingSetup setup;
  setup.period = 1;
  setup.python_hex = python.version.hex();
  setup.config.layout = python.layout;
  setup.config.code_type = python.type("PyCode_Type").value_or(0);
  const char* getter = "PyGILState_GetThisThreadState";
  setup.config.thread_state_released = symbol_of(images, getter);
  if (python.version.at_least(3, 12)) getter = "_PyThreadState_UncheckedGet";
  if (python.version.at_least(3, 13)) getter = "PyThreadState_GetUnchecked";
  setup.config.thread_state = symbol_of(images, getter);
  setup.allocator_mem = symbol_of(images, "_PyMem");
  setup.allocator_obj = symbol_of(images, "_PyObject");
  return setup;
}

const ProfileEntry* find(const std::vector<ProfileEntry>& entries, std::string_view function, std::uint32_t line = 0) {
  for (const ProfileEntry& entry : entries) {
    if (entry.function == function && (line == 0 || entry.line == line)) return &entry;
  }
  return nullptr;
}

std::string innermost(const AllocationProfile& profile, std::uint32_t site) {
  if (site == 0) return "";
  const CallIndex call = profile.row_call[site - 1];
  return call == 0 ? "" : std::string(profile.strings.text(profile.frames[profile.call_frame[call]].function));
}

TEST(Capture, OfARealProgramHasItsFunctionsLinesAndObjects) {
  Program program;
  ASSERT_EQ(program.line(), "ready");
  const TrackingSetup setup = setup_for(program.pid());
  TestLog log;
  const ProcessId id = ProcessId::open(program.pid());
  const auto tracking = Tracking::start(id, setup, log);
  const TableReader tables(FileDescriptor(::dup(tracking->descriptor())));
  SliceRecorder recorder(tables);
  recorder.add(tables.read(), 1000, 0);
  program.go_on();
  std::istringstream addresses(program.line());
  std::uint64_t bytearray = 0;
  std::uint64_t thing = 0;
  addresses >> std::hex >> bytearray >> thing;
  recorder.add(tables.read(), 2000, 0);

  const AllocationProfile profile = recorder.finish();

  ASSERT_TRUE(is_consistent(profile));
  const auto live = profile_totals(profile, profile.live, ProfileBy::kFunction, false);
  const auto all = profile_totals(profile, profile.allocated, ProfileBy::kFunction, false);
  const auto lines = profile_totals(profile, profile.live, ProfileBy::kLine, false);
  ASSERT_NE(find(live, "fill"), nullptr) << log.text();
  EXPECT_GE(find(live, "fill")->own.bytes, 200u * 10'000);
  EXPECT_LE(find(live, "fill")->own.bytes, 200u * 10'000 + 100'000);
  EXPECT_GE(find(live, "fill")->own.count, 200u);
  ASSERT_NE(find(lines, "fill", 9), nullptr);
  EXPECT_GE(find(lines, "fill", 9)->own.bytes, 200u * 10'000);
  ASSERT_NE(find(all, "lost"), nullptr);
  EXPECT_GE(find(all, "lost")->own.bytes, 20'000'000u);
  EXPECT_TRUE(find(live, "lost") == nullptr || find(live, "lost")->own.bytes < 1000);
  EXPECT_GE(find(all, "main")->total.bytes, 22'000'000u);
  EXPECT_LT(find(all, "main")->own.bytes, 100'000u);
  EXPECT_EQ(profile.losses, ProfileLosses{});
  if (setup.allocator_obj != 0) {
    HeapGraph graph;
    graph.types.resize(1);
    for (const std::uint64_t address : {std::min(bytearray, thing), std::max(bytearray, thing)}) {
      graph.address.push_back(address);
      graph.type.push_back(0);
      graph.size.push_back(48);
      graph.flags.push_back(0);
    }
    fill_allocation_sites(graph, tables, recorder.rows_of_sites());
    EXPECT_EQ(innermost(profile, graph.site[graph.address[0] == bytearray ? 0 : 1]), "fill");
    EXPECT_EQ(innermost(profile, graph.site[graph.address[0] == thing ? 0 : 1]), "main");
  }

  // When the target is gone all is still there.
  program.end();
  EXPECT_GE(tables.read().all.bytes, 200u * 10'000);
}

}  // namespace
}  // namespace memsnap
