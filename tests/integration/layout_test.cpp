#include <fcntl.h>
#include <fmt/core.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "attach/base/error.h"
#include "attach/base/file_descriptor.h"
#include "attach/cached_memory.h"
#include "attach/elf_image.h"
#include "attach/memory_map.h"
#include "snapshot/cpython/frames.h"
#include "snapshot/cpython/gc_lists.h"
#include "snapshot/cpython/interpreters.h"
#include "snapshot/cpython/layout_check.h"
#include "snapshot/cpython/object_reader.h"
#include "snapshot/cpython/py_layout.h"
#include "snapshot/cpython/python_process.h"

namespace memsnap {
namespace {

struct Interpreter {
  std::string name;
  std::vector<std::string> command;
};

std::vector<Interpreter> interpreters_in(std::istream& lines) {
  std::vector<Interpreter> found;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream in(line);
    Interpreter interpreter;
    std::string version;
    in >> interpreter.name >> version;
    for (std::string word; in >> word;) interpreter.command.push_back(word);
    if (!interpreter.command.empty()) found.push_back(std::move(interpreter));
  }
  return found;
}

// Those that cmake found: also when the tests are only listed, where no environment is set.
std::vector<Interpreter> interpreters() {
  const char* file = std::getenv("MEMSNAP_PYTHONS");
  std::ifstream lines(file != nullptr ? file : MEMSNAP_BINARY_DIR "/pythons.txt");
  return interpreters_in(lines);
}

// A process that ends with its owner.
class Child {
 public:
  Child(const std::vector<std::string>& command, int input, int output) : pid_(::fork()) {
    if (pid_ != 0) return;
    ::dup2(input, 0);
    ::dup2(output, 1);
    std::vector<std::string> words = command;
    std::vector<char*> arguments;
    arguments.reserve(words.size() + 1);
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_;
};

// A Python program that has said "ready" and sleeps; what it said before, by its first word.
class Target {
 public:
  // `program` on stdin or, when it is no file's name, by -c.
  static std::unique_ptr<Target> start(std::vector<std::string> command, const std::string& program) {
    const bool is_file = program.ends_with(".py");
    if (is_file) {
      command.insert(command.end(), {"-B", "-"});
    } else {
      command.insert(command.end(), {"-B", "-c", program});
    }
    const FileDescriptor input(::open(is_file ? program.c_str() : "/dev/null", O_RDONLY | O_CLOEXEC));
    std::array<int, 2> ends{};
    if (!input || ::pipe2(ends.data(), O_CLOEXEC) != 0) return nullptr;
    const FileDescriptor write_end(ends[1]);
    FileDescriptor read_end(ends[0]);
    std::unique_ptr<Target> target(new Target(command, input.get(), write_end.get()));
    return target->read_facts(read_end.get()) ? std::move(target) : nullptr;
  }

  pid_t pid() const { return child_.pid(); }
  std::uint64_t fact(const std::string& key) const { return facts_.count(key) == 0 ? 0 : facts_.find(key)->second; }
  std::set<std::uint64_t> facts(const std::string& key) const {
    std::set<std::uint64_t> values;
    for (auto [at, end] = facts_.equal_range(key); at != end; ++at) values.insert(at->second);
    return values;
  }

 private:
  Target(const std::vector<std::string>& command, int input, int output) : child_(command, input, output) {}

  bool read_facts(int fd) {
    std::string text;
    std::array<char, 4096> buffer{};
    while (text.find("ready") == std::string::npos || text.back() != '\n') {
      const ssize_t count = ::read(fd, buffer.data(), buffer.size());
      if (count <= 0) return false;
      text.append(buffer.data(), static_cast<std::size_t>(count));
    }
    std::istringstream lines(text);
    std::string key;
    for (std::uint64_t value = 0; lines >> key >> value;) facts_.emplace(key, value);
    ::usleep(100'000);  // from write() into its sleep
    return true;
  }

  Child child_;
  std::multimap<std::string, std::uint64_t> facts_;
};

constexpr const char* kFacts = MEMSNAP_SOURCE_DIR "/tests/targets/layout_facts.py";

PythonProcess find(const Target& target, const ProcessMemory& memory) {
  return find_python(target.pid(), loaded_images(target.pid(), MemoryMap::of(target.pid()), memory), memory);
}

std::vector<std::string> function_names(const ProcessMemory& memory, const PythonProcess& python,
                                        const ThreadState& thread) {
  const ObjectReader reader(memory, python.layout);
  std::vector<std::string> names;
  const bool complete = for_each_frame(memory, python, thread, [&](const RunningFrame& frame) {
    if (frame.kind == FrameKind::kInterpreter) return;
    const auto name = memory.try_read<std::uint64_t>(frame.code + python.layout.code.co_name);
    names.push_back(reader.text(name.value_or(0)).value_or("?"));
  });
  EXPECT_TRUE(complete);
  return names;
}

void expect_facts(const Target& target, const LiveMemory& memory, const PythonProcess& python) {
  EXPECT_EQ(python.version.hex(), target.fact("version"));
  EXPECT_EQ(python.flavor == BuildFlavor::kDebug, target.fact("debug") == 1);
  EXPECT_EQ(python.type_type, target.fact("type"));
  EXPECT_GT(python.types.size(), 40u);

  const InterpreterList list = read_interpreters(memory, python);
  EXPECT_TRUE(list.complete);
  ASSERT_EQ(list.interpreters.size(), target.fact("interpreters"));
  const InterpreterState& main = list.interpreters.back();
  EXPECT_EQ(main.modules, target.fact("modules"));
  EXPECT_EQ(main.sysdict, target.fact("sysdict"));
  EXPECT_EQ(main.builtins, target.fact("builtins"));
  ASSERT_EQ(main.threads.size(), 2u);
  const ThreadState& thread = main.threads.back();
  EXPECT_EQ(thread.native_thread_id, python.layout.thread.native_thread_id == 0 ? 0 : target.fact("native_id"));
  EXPECT_EQ(function_names(memory, python, thread),
            (std::vector<std::string>{"leaf", "middle", "outer", "main", "<module>"}));
}

void expect_tracked_objects(const Target& target, const LiveMemory& memory, const PythonProcess& python) {
  const auto interpreters = read_interpreters(memory, python).interpreters;
  const auto all = find_gc_lists(memory, python, interpreters);
  ASSERT_EQ(all.size(), python.layout.runtime.gc != 0 ? 1u : interpreters.size());
  const GcLists& lists = all.back();
  EXPECT_FALSE(lists.collecting);

  std::set<std::uint64_t> tracked;
  for (const std::uint64_t head : lists.heads)
    EXPECT_TRUE(for_each_tracked(memory, head, [&](std::uint64_t object) { tracked.insert(object); }).complete);
  const TrackedWalk frozen = for_each_tracked(memory, *lists.permanent, [](std::uint64_t) {});

  EXPECT_EQ(frozen.objects, target.fact("frozen"));
  for (const std::uint64_t planted : target.facts("planted")) EXPECT_EQ(tracked.count(planted), 1u);
  // The collector counts in its own process what is seen from outside; the list it counted with came and went.
  EXPECT_NEAR(static_cast<double>(tracked.size() + frozen.objects), static_cast<double>(target.fact("objects_now")),
              20);
}

// What no debug offset vouches for and what the table says of the interpreter's own fields.
void expect_interpreter_fields(const LiveMemory& memory, const PythonProcess& python) {
  const HeapLayout::Interpreter& layout = python.layout.interpreter;
  const ObjectReader reader(memory, python.layout);
  const std::uint64_t main = read_interpreters(memory, python).interpreters.back().address;
  std::size_t objects = 0;
  for (const std::uint32_t offset : layout.objects) {
    if (offset == 0) break;
    const auto object = memory.try_read<std::uint64_t>(main + offset).value_or(0);
    if (object == 0) continue;
    ++objects;
    EXPECT_TRUE(reader.type_of(object) && reader.is(*reader.type_of(object), kFlagType)) << offset;
  }
  EXPECT_GE(objects, 8u);
  EXPECT_EQ(layout.static_types != 0, python.version.at_least(3, 12));
  EXPECT_EQ(layout.interned != 0, python.version.at_least(3, 12));
  if (layout.static_types == 0) return;
  const auto number = memory.read<std::uint64_t>(*python.type("PyDict_Type") + python.layout.type.tp_subclasses);
  const std::uint64_t item = main + layout.static_types + (number - 1) * layout.static_type_size;
  const auto dict = memory.read<std::uint64_t>(item + layout.static_type_dict);
  EXPECT_TRUE(reader.find(dict, "setdefault"));
}

void expect_other_tables_fail(const LiveMemory& memory, const PythonProcess& python) {
  for (const HeapLayout& table : all_layouts()) {
    if (table.since >> 16 == python.version.hex() >> 16) continue;
    PythonProcess wrong = python;
    wrong.layout = table;
    EXPECT_TRUE(check_layout(memory, wrong)) << "the table of " << PyVersion(table.since).minor_text();
  }
}

void expect_all(const Interpreter& interpreter) {
  const auto target = Target::start(interpreter.command, kFacts);
  ASSERT_TRUE(target) << interpreter.name << " does not run " << kFacts;
  const LiveMemory memory(target->pid());

  const PythonProcess python = find(*target, memory);

  expect_facts(*target, memory, python);
  expect_tracked_objects(*target, memory, python);
  expect_interpreter_fields(memory, python);
  expect_other_tables_fail(memory, python);
}

class EachInterpreter : public testing::TestWithParam<Interpreter> {};
INSTANTIATE_TEST_SUITE_P(Live, EachInterpreter, testing::ValuesIn(interpreters()), [](const auto& parameter) {
  std::string name = parameter.param.name;
  for (char& letter : name)
    if (std::isalnum(static_cast<unsigned char>(letter)) == 0) letter = '_';
  return name;
});

TEST_P(EachInterpreter, LayoutFindsWhatTheTargetSaysOfItself) { expect_all(GetParam()); }

TEST_P(EachInterpreter, ListsAreFoundInTheMiddleOfACollection) {
  for (const char* generation : {"0", "2"}) {
    const auto target = Target::start(GetParam().command, std::string(R"(
import gc, sys, time
class Slow:
    def __del__(self):
        sys.stdout.write("ready 1\n"); sys.stdout.flush(); time.sleep(600)
kept = [[] for _ in range(1000)]
gc.collect(); gc.disable()
slow = Slow(); slow.me = slow; del slow
gc.collect()") + generation + ")\n");
    ASSERT_TRUE(target);
    const LiveMemory memory(target->pid());

    const PythonProcess python = find(*target, memory);
    const auto lists = find_gc_lists(memory, python, read_interpreters(memory, python).interpreters);

    EXPECT_TRUE(lists.at(0).collecting);
    std::uint64_t objects = 0;
    for (const std::uint64_t head : lists.at(0).heads) {
      const TrackedWalk walk = for_each_tracked(memory, head, [](std::uint64_t) {});
      EXPECT_TRUE(walk.complete);
      objects += walk.objects;
    }
    EXPECT_GT(objects, 1000u);
  }
}

TEST_P(EachInterpreter, ACollectionAtAnyMomentIsNoFailure) {
  const auto target = Target::start(GetParam().command, R"(
import gc, sys
kept = [[i] for i in range(100000)]
sys.stdout.write("ready 1\n"); sys.stdout.flush()
while True: gc.collect()
)");
  ASSERT_TRUE(target);
  const LiveMemory memory(target->pid());
  for (int moment = 0; moment < 20; ++moment) {
    ::kill(target->pid(), SIGSTOP);
    ::waitpid(target->pid(), nullptr, WUNTRACED);

    const PythonProcess python = find(*target, memory);

    EXPECT_EQ(find_gc_lists(memory, python, read_interpreters(memory, python).interpreters).at(0).heads.size(), 3u);
    ::kill(target->pid(), SIGCONT);
    ::usleep(static_cast<useconds_t>(1000 * moment));
  }
}

// Debug builds are read when every check passes.
TEST(Layout, DebugBuildsAreReadOrRefusedByACheck) {
  std::unique_ptr<FILE, int (*)(FILE*)> listing(::popen(MEMSNAP_SOURCE_DIR "/scripts/pythons --list --unusual", "r"),
                                                ::pclose);
  ASSERT_TRUE(listing);
  std::string text;
  for (int letter = 0; (letter = std::fgetc(listing.get())) != EOF;) text += static_cast<char>(letter);
  std::istringstream lines(text);
  std::size_t tried = 0;
  for (const Interpreter& interpreter : interpreters_in(lines)) {
    SCOPED_TRACE(interpreter.name);
    if (interpreter.name.find("-debug") == std::string::npos) continue;
    ++tried;
    expect_all(interpreter);
  }
  if (tried == 0) GTEST_SKIP() << "no debug build on this machine";
}

std::string refusal(const std::vector<std::string>& command, const std::string& program) {
  const auto target = Target::start(command, program);
  if (!target) return "not on this machine";
  try {
    find(*target, LiveMemory(target->pid()));
    return "found";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUnsupported);
    return error.what();
  }
}

TEST(Layout, OlderReleasesAreRefusedByTheirNumber) {
  const char* home = std::getenv("HOME");
  std::size_t tried = 0;
  for (const char* version : {"2.7.18", "3.6.15", "3.7.16"}) {
    const std::string minor = std::string(version).substr(0, 3);
    const std::string python =
        fmt::format("{}/.pyenv/versions/{}/bin/python{}", home != nullptr ? home : "/root", version, minor);
    if (::access(python.c_str(), X_OK) != 0) continue;
    ++tried;
    EXPECT_NE(refusal({python}, "import sys, time\nsys.stdout.write('ready 1\\n'); sys.stdout.flush(); time.sleep(600)")
                  .find("CPython " + minor),
              std::string::npos);
  }
  if (tried == 0) GTEST_SKIP() << "no older CPython on this machine";
}

TEST(Layout, AnotherProgramIsNotPython) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const FileDescriptor read_end(ends[0]);
  const FileDescriptor write_end(ends[1]);
  const Child child({"/bin/sh", "-c", "echo ready; exec sleep 600"}, 0, write_end.get());
  std::array<char, 16> said{};
  ASSERT_GT(::read(read_end.get(), said.data(), said.size()), 0);
  const LiveMemory memory(child.pid());

  EXPECT_THROW(find_python(child.pid(), loaded_images(child.pid(), MemoryMap::of(child.pid()), memory), memory), Error);
}

}  // namespace
}  // namespace memsnap
