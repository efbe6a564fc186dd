#include <dlfcn.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "attach/cached_memory.h"
#include "attach/elf_image.h"
#include "attach/memory_map.h"
#include "attach/process_id.h"
#include "attach/stopped_process.h"
#include "attach/unwinder.h"
#include "inject/control/agent_blob.h"
#include "inject/control/native_tables.h"
#include "snapshot/capture/table_reader.h"
#include "tests/integration/tracked_target.h"

namespace memsnap {
namespace {

// Threads in C code of many libraries, and in Python code that it calls.
constexpr const char* kBusy = R"(
import ctypes, hashlib, json, re, threading, zlib
libc = ctypes.CDLL(None)
COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
def compare(a, b):
    return a[0] - b[0]
def down(n):
    return sorted([3, 1, 2], key=lambda x: down(n - 1) if n else x)[0] * 0
def work():
    while True:
        text = json.dumps({str(i): [i * 1.5] * (i % 7) for i in range(60)}, indent=1)
        json.loads(text)
        zlib.decompress(zlib.compress(text.encode() * 20))
        re.sub("[0-9]+", lambda m: str(len(m.group(0))), text)
        numbers = (ctypes.c_int * 20)(*range(20, 0, -1))
        libc.qsort(numbers, ctypes.c_size_t(20), ctypes.c_size_t(4), COMPARE(compare))
        hashlib.sha256(text.encode()).hexdigest()
        down(9)
threading.stack_size(256 << 10)
for i in range(3): threading.Thread(target=work, daemon=True).start()
print("ready", flush=True)
work()
)";

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  return {std::istream_iterator<std::string>(in), {}};
}

class Python {
 public:
  explicit Python(std::vector<std::string> words) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    words.insert(words.end(), {"-c", kBusy});
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      std::vector<char*> arguments;
      for (std::string& word : words) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      ::execvp(arguments[0], arguments.data());
      ::_exit(127);
    }
    ::close(ends[1]);
    output_ = FileDescriptor(ends[0]);
    char first = 0;
    EXPECT_EQ(::read(output_.get(), &first, 1), 1);
  }
  ~Python() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Python(const Python&) = delete;
  Python& operator=(const Python&) = delete;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
  FileDescriptor output_;
};

struct Frame {
  std::uint64_t address = 0;
  std::uint64_t stack = 0;
  bool operator==(const Frame&) const = default;
};

// As the agent does it, from outside.
class Rules {
 public:
  Rules(const Images& images, const ProcessMemory& memory) : memory_(memory) {
    for (const auto& image : images) {
      Library library{image->range().begin, image->range().end, unwind_rules_of(*image, memory).rows};
      libraries_.emplace(library.begin, std::move(library));
    }
  }
  std::size_t size() const { return libraries_.size(); }

  std::vector<Frame> walk(const user_regs_struct& registers, std::uint64_t high, bool* complete) const {
    std::vector<Frame> frames;
    std::uint64_t address = registers.rip;
    std::uint64_t stack = registers.rsp;
    std::uint64_t base = registers.rbp;
    *complete = false;
    for (std::uint64_t called = 0; frames.size() < 5000; called = 1) {
      frames.push_back({address, stack});
      const UnwindRule rule = rule_at(address - called);
      std::uint64_t next = stack + rule.offset;
      if (rule.kind == UnwindKind::kOutermost) *complete = true;
      if (rule.kind == UnwindKind::kBase) next = base + rule.offset;
      if (rule.kind == UnwindKind::kIndirect) next = memory_.try_read<std::uint64_t>(base - rule.offset).value_or(0);
      const bool can =
          rule.kind == UnwindKind::kStack || rule.kind == UnwindKind::kBase || rule.kind == UnwindKind::kIndirect;
      if (!can || next <= stack || next > high) break;
      if (rule.base != 0) {
        const std::uint64_t at = rule.base == kBaseAtBase ? base : next - rule.base;
        base = memory_.try_read<std::uint64_t>(at).value_or(0);
      }
      address = memory_.try_read<std::uint64_t>(next - 8).value_or(0);
      stack = next;
      if (address == 0) break;
    }
    return frames;
  }

 private:
  struct Library {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
    std::vector<AgentRule> rows;
  };
  UnwindRule rule_at(std::uint64_t address) const {
    const auto after = libraries_.upper_bound(address);
    if (after == libraries_.begin()) return {};
    const Library& library = std::prev(after)->second;
    return address < library.end ? rule_for(library.rows, address - library.begin) : UnwindRule{};
  }

  const ProcessMemory& memory_;
  std::map<std::uint64_t, Library> libraries_;
};

std::vector<Frame> of_unwinder(const NativeStack& stack) {
  std::vector<Frame> frames;
  for (const NativeFrame& frame : stack.frames) frames.push_back({frame.instruction, frame.stack_pointer});
  return frames;
}

struct Agreement {
  int same = 0;
  int shorter = 0;
  int in_stub = 0;  // stopped in a linkage table, where nothing returns to: the agent never begins there
  int wrong = 0;
  std::size_t frames = 0;
};

void compare_many(const std::vector<std::string>& command, int samples, Agreement& agreement) {
  const Python python(command);
  const ProcessId id = ProcessId::open(python.pid());
  std::this_thread::sleep_for(std::chrono::milliseconds(200));  // for libraries that come on the way
  const LiveMemory memory(python.pid());
  const MemoryMap map = MemoryMap::of(python.pid());
  const Images images = loaded_images(python.pid(), map, memory);
  const Rules rules(images, memory);
  ASSERT_GT(rules.size(), 3u);
  for (int i = 0; i < samples; ++i) {
    const StoppedProcess stopped(id, {.wait = std::chrono::seconds(20), .longest = std::chrono::seconds(20)});
    const MemoryMap now = MemoryMap::of(python.pid());
    const Unwinder unwinder(memory, now);
    for (const HeldThread& thread : stopped.held()) {
      const NativeStack wanted = unwinder.unwind(thread.registers);
      bool complete = false;
      const auto found = rules.walk(thread.registers, used_stack(thread.registers, now).end, &complete);
      const auto frames = of_unwinder(wanted);
      const std::size_t common = std::min(frames.size(), found.size());
      agreement.frames += common;
      if (!std::equal(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(common), frames.begin())) {
        ++agreement.wrong;
      } else if (found.size() == frames.size() && complete == wanted.complete) {
        ++agreement.same;
      } else if (found.size() == 1) {
        ++agreement.in_stub;
      } else if (found.size() < frames.size()) {
        ++agreement.shorter;
      } else {
        ++agreement.wrong;
      }
    }
  }
}

// libunwind reads the same tables, by its own code.
TEST(NativeWalk, IsThatOfLibunwindInEveryInterpreter) {
  const char* const list = std::getenv("MEMSNAP_PYTHONS");
  std::ifstream lines(list != nullptr ? list : MEMSNAP_BINARY_DIR "/pythons.txt");
  int tried = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto words = words_of(line);
    if (words.size() < 3) continue;
    SCOPED_TRACE(words[0]);
    Agreement agreement;
    compare_many({words.begin() + 2, words.end()}, 30, agreement);
    std::printf("%s: same %d, shorter %d, wrong %d, in a stub %d; %zu frames\n", words[0].c_str(), agreement.same,
                agreement.shorter, agreement.wrong, agreement.in_stub, agreement.frames);
    EXPECT_EQ(agreement.wrong, 0);
    EXPECT_LE(agreement.shorter * 100, agreement.same);
    EXPECT_LE(agreement.in_stub * 4, agreement.same);
    EXPECT_GT(agreement.frames, 1000u);
    ++tried;
  }
  EXPECT_GT(tried, 0);
}

TEST(NativeWalk, StacksOfThreadsAreFound) {
  const Python python({"/usr/bin/python3"});
  const ProcessId id = ProcessId::open(python.pid());
  const LiveMemory memory(python.pid());
  const StoppedProcess stopped(id, {});
  const MemoryMap map = MemoryMap::of(python.pid());
  std::vector<std::uint64_t> blocks;
  for (const HeldThread& thread : stopped.held()) blocks.push_back(thread.registers.fs_base);
  ASSERT_EQ(blocks.size(), 4u);

  const std::uint32_t offset = thread_stack_offset(blocks, map, memory);
  const AgentCodeRange main = main_stack(python.pid(), map);

  ASSERT_NE(offset, 0u);
  int in_main = 0;
  for (const HeldThread& thread : stopped.held()) {
    const auto block = memory.try_read<ThreadStackBlock>(thread.registers.fs_base + offset);
    ASSERT_TRUE(block.has_value());
    const bool is_main = thread.registers.rsp >= main.begin && thread.registers.rsp < main.end;
    in_main += is_main ? 1 : 0;
    EXPECT_NE(is_main, block->holds(thread.registers.rsp, thread.registers.fs_base));
    if (is_main) continue;
    EXPECT_GE(block->size, 256u << 10);
    EXPECT_LE(block->size, 300u << 10);
    EXPECT_FALSE(block->holds(block->begin + block->guard - 8, thread.registers.fs_base));
    EXPECT_FALSE(block->holds(thread.registers.fs_base, thread.registers.fs_base));
  }
  EXPECT_EQ(in_main, 1);
}

// The ranges of addresses that rules are there for.
std::vector<AgentRuleRange> ranges_of(const Tracking& tracking) {
  std::vector<AgentRuleRange> ranges(tracking.header().native.ranges);
  const auto bytes = std::as_writable_bytes(std::span(ranges));
  const auto at = static_cast<off_t>(tracking.header().sections.rule_ranges.offset);
  EXPECT_EQ(::pread(tracking.descriptor(), bytes.data(), bytes.size(), at), static_cast<ssize_t>(bytes.size()));
  return ranges;
}

bool has_rules(const Tracking& tracking, std::uint64_t address) {
  const auto ranges = ranges_of(tracking);
  return std::any_of(ranges.begin(), ranges.end(),
                     [&](const AgentRuleRange& range) { return address >= range.begin && address < range.end; });
}

// Whether a stack goes from code at `address` (up to 4 KiB behind) out to the function that the process began with.
bool is_followed(const Tracking& tracking, std::uint64_t address) {
  const TableReader tables(FileDescriptor(::fcntl(tracking.descriptor(), F_DUPFD_CLOEXEC, 0)));
  const std::vector<AgentNode> nodes = tables.nodes();
  for (const AgentNode& node : nodes) {
    if (node.code != kNodeNativeFrame || node.instruction < address || node.instruction >= address + 4096) continue;
    std::size_t frames = 0;
    for (std::uint32_t at = node.parent; nodes[at].code == kNodeNativeFrame; at = nodes[at].parent) ++frames;
    if (frames > 3) return true;
  }
  return false;
}

TEST(NativeWalk, LibrariesThatComeAndGoAreFollowed) {
  ForkedTarget target([](TargetNotes& notes) {
    notes.ready = 1;
    while (notes.stop < 1) ::usleep(100);
    void* const library = ::dlopen(MEMSNAP_LATE_LIBRARY, RTLD_NOW);
    auto* const use = library == nullptr ? nullptr : reinterpret_cast<void (*)()>(::dlsym(library, "late_allocate"));
    if (use == nullptr) ::_exit(7);
    notes.words[0] = reinterpret_cast<std::uint64_t>(use);
    notes.ready = 2;
    while (notes.stop < 2) {
      use();
      ::usleep(200);
      ++notes.words[1];
    }
    ::dlclose(library);
    notes.ready = 3;
    for (;;) ::usleep(1000);
  });
  target.wait_ready();
  const ProcessId id = ProcessId::open(target.pid());
  TestLog log;
  TrackingSetup setup = test_setup();
  setup.image = agent_blob();
  setup.config.native = 1;
  const auto tracking = Tracking::start(id, setup, log);
  EXPECT_GT(ranges_of(*tracking).size(), 3u);
  target.notes().stop = 1;
  target.wait_ready(2);
  EXPECT_FALSE(has_rules(*tracking, target.word(0)));

  EXPECT_GT(tracking->poll_new_libraries(true), 0u);
  EXPECT_TRUE(has_rules(*tracking, target.word(0)));
  EXPECT_TRUE(ForkedTarget::wait_until([&] { return is_followed(*tracking, target.word(0)); }));

  target.notes().stop = 2;
  target.wait_ready(3);
  tracking->poll_new_libraries(true);
  EXPECT_FALSE(has_rules(*tracking, target.word(0)));
  EXPECT_EQ(tracking->header().lost.mismatches, 0u);
  EXPECT_TRUE(tracking->stop().left_behind.empty());
}

}  // namespace
}  // namespace memsnap
