#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "attach/cached_memory.h"
#include "attach/memory_map.h"
#include "inject/walker/object_size.h"
#include "snapshot/cpython/py_layout.h"
#include "snapshot/cpython/type_table.h"
#include "snapshot/model/string_table.h"

namespace memsnap {
namespace {

constexpr std::size_t kCache = 256u << 20;

struct Interpreter {
  std::string name;
  std::vector<std::string> command;
};

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// Lines "NAME VERSION COMMAND..." of the file MEMSNAP_PYTHONS, else the one command MEMSNAP_PYTHON.
std::vector<Interpreter> interpreters() {
  std::vector<Interpreter> found;
  if (const char* file = std::getenv("MEMSNAP_PYTHONS")) {
    std::ifstream lines(file);
    for (std::string line; std::getline(lines, line);) {
      auto words = words_of(line);
      if (words.size() >= 3) found.push_back({words[0], {words.begin() + 2, words.end()}});
    }
  }
  const char* one = std::getenv("MEMSNAP_PYTHON");
  if (found.empty() && one != nullptr) found.push_back({one, words_of(one)});
  return found;
}

// tests/oracle/sizes.py in an interpreter: it has said all it has to say and sleeps.
class Oracle {
 public:
  explicit Oracle(const std::vector<std::string>& command) {
    const FileDescriptor script(::open(MEMSNAP_SOURCE_DIR "/tests/oracle/sizes.py", O_RDONLY | O_CLOEXEC));
    int ends[2] = {-1, -1};
    if (!script || ::pipe2(ends, O_CLOEXEC) != 0) return;
    const FileDescriptor write_end(ends[1]);
    const FileDescriptor read_end(ends[0]);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(script.get(), 0);
      ::dup2(write_end.get(), 1);
      std::vector<std::string> words = command;
      words.insert(words.end(), {"-W", "ignore", "-B", "-"});
      std::vector<char*> arguments;
      for (std::string& word : words) arguments.push_back(word.data());
      arguments.push_back(nullptr);
      ::execvp(arguments[0], arguments.data());
      ::_exit(127);
    }
    read_lines(read_end.get());
  }
  ~Oracle() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }
  Oracle(Oracle&&) = delete;

  pid_t pid() const { return pid_; }
  bool ready() const { return version_ != 0; }
  std::uint32_t version() const { return version_; }
  // The words of each line that begins with `kind`, without it.
  const std::vector<std::vector<std::string>>& lines(const std::string& kind) { return lines_[kind]; }

 private:
  void read_lines(int fd) {
    std::string text;
    std::vector<char> buffer(1u << 16);
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (text.find("\nready\t") == std::string::npos || text.back() != '\n') {
      const ssize_t count = ::read(fd, buffer.data(), buffer.size());
      if (count <= 0 || std::chrono::steady_clock::now() > until) return;
      text.append(buffer.data(), static_cast<std::size_t>(count));
    }
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);) {
      std::istringstream fields(line);
      std::vector<std::string> words;
      for (std::string word; std::getline(fields, word, '\t');) words.push_back(word);
      const std::string kind = words.front();
      words.erase(words.begin());
      if (kind == "ready") version_ = static_cast<std::uint32_t>(std::stoul(words[1]));
      lines_[kind].push_back(std::move(words));
    }
    // It still has to get from write() into its sleep.
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }

  pid_t pid_ = -1;
  std::uint32_t version_ = 0;
  std::map<std::string, std::vector<std::vector<std::string>>> lines_;
};

std::string from_hex(const std::string& hex) {
  std::string text;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    text += static_cast<char>(std::stoul(hex.substr(i, 2), nullptr, 16));
  return text;
}

struct Reader {
  const ProcessMemory& memory;
  template <class T>
  bool read(std::uint64_t address, T* out) const {
    const auto value = memory.try_read<T>(address);
    if (value) *out = *value;
    return value.has_value();
  }
};

// Everything needed to look at one oracle.
struct View {
  explicit View(const Oracle& oracle)
      : layout(layout_for(oracle.version())), live(oracle.pid()), memory(live, MemoryMap::of(oracle.pid()), kCache) {}

  std::string type_name(std::uint64_t type) {
    const TypeRecord& record = types.resolve(type);
    if (record.kind == TypeKind::kNotAType) return "(not a type)";
    return std::string(strings.text(types.types()[record.id].name));
  }

  const HeapLayout& layout;
  LiveMemory live;
  CachedMemory memory;
  StringTable strings;
  TypeTable types{memory, layout, strings};
};

void compare_sizes(View& view, Oracle& oracle, const std::string& kind, std::size_t at_least) {
  std::size_t compared = 0;
  std::size_t shown = 0;
  std::size_t wrong = 0;
  std::set<std::string> labels;
  for (const auto& words : oracle.lines(kind)) {
    const std::uint64_t address = std::stoull(words[0]);
    const std::uint64_t expected = std::stoull(words[1]);
    const std::string name = from_hex(words[3]);
    const auto type_address = view.memory.try_read<std::uint64_t>(address + view.layout.object.ob_type);
    ASSERT_TRUE(type_address) << name;
    const TypeRecord type = view.types.resolve(*type_address);
    std::uint64_t size = 0;
    const bool ok = walker::object_size(Reader{view.memory}, view.layout, type, address, &size);
    ++compared;
    labels.insert(words[2]);
    if (ok && size == expected) continue;
    ++wrong;
    if (++shown <= 40) {
      ADD_FAILURE() << kind << " '" << words[2] << "' " << name << " as " << view.type_name(*type_address) << ", kind "
                    << static_cast<int>(type.kind) << ": " << (ok ? std::to_string(size) : "unreadable")
                    << ", and sys.getsizeof says " << expected;
    }
  }
  EXPECT_EQ(wrong, 0u) << "of " << compared;
  EXPECT_GE(compared, at_least);
  EXPECT_GE(labels.size(), kind == "object" ? 60u : 1u);
}

void compare_types(View& view, Oracle& oracle) {
  std::size_t compared = 0;
  for (const auto& words : oracle.lines("type")) {
    const std::uint64_t address = std::stoull(words[0]);
    const std::string name = from_hex(words[1]);
    const TypeRecord record = view.types.resolve(address);
    ASSERT_NE(record.kind, TypeKind::kNotAType) << name;
    EXPECT_EQ(view.type_name(address), name);
    EXPECT_EQ(record.basic_size, std::stoul(words[2])) << name;
    EXPECT_EQ(record.item_size, std::stoul(words[3])) << name;
    EXPECT_EQ((record.flags & kTypePythonSizeof) != 0, words[5] == "1") << name;
    ++compared;
  }
  EXPECT_GT(compared, 400u);
  for (const auto& words : oracle.lines("fields")) {
    const TypeRecord record = view.types.resolve(std::stoull(words[0]));
    EXPECT_EQ(record.kind, TypeKind::kStructSequence) << view.type_name(record.address);
    EXPECT_EQ(record.extra, std::stoul(words[1])) << view.type_name(record.address);
  }
  EXPECT_GT(oracle.lines("fields").size(), 5u);
}

// Types whose objects have a structure that the walk knows, by one name each has in some release.
void compare_kinds(View& view, Oracle& oracle) {
  const std::map<std::string, TypeKind> expected = {
      {"re.Pattern", TypeKind::kPattern},
      {"re.Match", TypeKind::kMatch},
      {"datetime.datetime", TypeKind::kDateTime},
      {"datetime.time", TypeKind::kDateTime},
      {"builtins.cell", TypeKind::kCell},
      {"builtins.range", TypeKind::kRange},
      {"builtins.slice", TypeKind::kSlice},
      {"builtins.function", TypeKind::kFunction},
      {"builtins.module", TypeKind::kModule},
      {"builtins.dict_keys", TypeKind::kDictKeysView},
      {"builtins.method_descriptor", TypeKind::kDescriptor},
      {"builtins.memoryview", TypeKind::kMemoryView},
      {"builtins.float", TypeKind::kLeaf},
      {"builtins.object", TypeKind::kLeaf},
      {"_io.StringIO", TypeKind::kStringIo},
      {"__main__.WeakChild", TypeKind::kWeakReference},
      {"__main__.ModuleChild", TypeKind::kModule},
      {"__main__.DequeChild", TypeKind::kDeque},
      {"__main__.Plain", TypeKind::kGeneric},
      {"__main__.FloatChild", TypeKind::kGeneric},
      {"__main__.Meta", TypeKind::kType},
      {"__main__.Point", TypeKind::kTuple},
  };
  std::set<std::string> seen;
  for (const auto& words : oracle.lines("type")) {
    const std::string name = from_hex(words[1]);
    const auto known = expected.find(name);
    if (known == expected.end()) continue;
    seen.insert(name);
    EXPECT_EQ(view.types.resolve(std::stoull(words[0])).kind, known->second) << name;
  }
  EXPECT_EQ(seen.size(), expected.size());
}

// What is no type is never taken for one.
void compare_objects_with_types(View& view, Oracle& oracle) {
  std::size_t types = 0;
  for (const auto& words : oracle.lines("heap")) {
    const std::uint64_t address = std::stoull(words[0]);
    const auto type = view.memory.try_read<std::uint64_t>(address + view.layout.object.ob_type);
    ASSERT_TRUE(type);
    const bool is_type = (view.types.resolve(*type).flags & kTypeIsMetatype) != 0;
    EXPECT_EQ(view.types.resolve(address).kind != TypeKind::kNotAType, is_type) << from_hex(words[3]);
    if (is_type) ++types;
  }
  EXPECT_GT(types, 100u);
}

TEST(Sizes, AreWhatEachInterpreterSays) {
  const auto pythons = interpreters();
  if (pythons.empty()) GTEST_SKIP() << "set MEMSNAP_PYTHON or MEMSNAP_PYTHONS";
  for (const Interpreter& python : pythons) {
    SCOPED_TRACE(python.name);
    Oracle oracle(python.command);
    ASSERT_TRUE(oracle.ready());
    View view(oracle);
    compare_types(view, oracle);
    compare_kinds(view, oracle);
    compare_sizes(view, oracle, "object", 500);
    compare_sizes(view, oracle, "heap", 10000);
    compare_objects_with_types(view, oracle);
  }
}

}  // namespace
}  // namespace memsnap
