#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "attach/cached_memory.h"
#include "attach/elf_image.h"
#include "inject/control/agent_blob.h"
#include "tests/integration/tracked_target.h"

namespace memsnap {
namespace {

// Four threads that allocate all the time, check what they have, and say so.
constexpr const char* kBusy = R"(
import threading, time, json, zlib
done = [0] * 4
def work(index):
    kept = []
    while True:
        text = json.dumps({str(i): [i] * (i % 7) for i in range(60)})
        assert json.loads(text)["6"] == [6] * 6
        data = bytearray(text.encode() * 40)
        assert zlib.decompress(zlib.compress(bytes(data))) == data
        kept.append((text, data))
        if len(kept) > 50: kept.clear()
        done[index] += 1
for i in range(4): threading.Thread(target=work, args=(i,), daemon=True).start()
while True:
    before = list(done)
    time.sleep(0.02)
    if all(a > b for a, b in zip(done, before)): print(sum(done))
)";

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  return {std::istream_iterator<std::string>(in), {}};
}

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
    ::fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  }
  ~Python() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  Python(const Python&) = delete;
  Python& operator=(const Python&) = delete;
  pid_t pid() const { return pid_; }
  // It has written something since the last time.
  bool works() const {
    std::array<char, 65536> text{};
    while (::read(output_.get(), text.data(), text.size()) > 0) continue;
    return ForkedTarget::wait_until([&] { return ::read(output_.get(), text.data(), text.size()) > 0; });
  }

 private:
  pid_t pid_ = 0;
  FileDescriptor output_;
};

// The interpreter's tables of allocators, where its symbols are there.
std::vector<std::uint64_t> allocator_tables(pid_t pid) {
  const MemoryMap map = MemoryMap::of(pid);
  const LiveMemory memory(pid);
  std::vector<std::uint64_t> found;
  for (const auto& image : loaded_images(pid, map, memory)) {
    for (const char* const name : {"_PyMem", "_PyObject"}) {
      if (const auto symbol = image->symbol(name)) found.push_back(*symbol);
    }
    if (found.size() == 2) return found;
    found.clear();
  }
  return {};
}

void track_many_times(const std::vector<std::string>& command, std::uint64_t cycles,
                      const std::string& allocator = "") {
  const Python python(command, kBusy);
  ASSERT_TRUE(python.works());
  const ProcessId id = ProcessId::open(python.pid());
  const auto tables = allocator_tables(python.pid());
  const Fingerprint before = take_fingerprint(id, tables);
  std::vector<double> took, stopped;
  for (std::uint64_t cycle = 0; cycle < cycles; ++cycle) {
    TrackingSetup setup = test_setup();
    if (cycle % 2 == 1) setup.image = agent_blob();
    if (!tables.empty()) {
      setup.allocator_mem = tables[0];
      setup.allocator_obj = tables[1];
    }
    TestLog log;
    const auto tracking = Tracking::start(id, setup, log);
    EXPECT_NE(tracking->facts().allocator.find(allocator), std::string::npos) << tracking->facts().allocator;
    took.push_back(static_cast<double>(tracking->facts().took.count()) / 1e6);
    stopped.push_back(static_cast<double>(tracking->facts().pause.count()) / 1e6);
    ASSERT_TRUE(python.works()) << cycle;
    tracking->poll_new_libraries();
    EXPECT_EQ(tracking->renew_lease(), Tracking::Health::kGood);
    const TrackingEnd end = tracking->stop();
    ASSERT_EQ(joined(end.left_behind), "") << cycle << "\n" << log.text();
    ASSERT_EQ(joined(differences(before, take_fingerprint(id, tables), false)), "") << cycle;
    ASSERT_TRUE(python.works()) << cycle;
  }
  std::sort(took.begin(), took.end());
  std::sort(stopped.begin(), stopped.end());
  std::printf("p50 of %zu: start %.1f ms, stopped for it %.1f ms; tables of allocators: %zu\n", took.size(),
              took[took.size() / 2], stopped[stopped.size() / 2], tables.size());
}

TEST(InjectPython, BusyThreads) {
  const char* const one = std::getenv("MEMSNAP_PYTHON");
  track_many_times(words_of(one == nullptr ? "/usr/bin/python3" : one), cycles_wanted(6));
}

// An allocator that was loaded before the C library: it is that one's functions that are hooked, and operator new.
TEST(InjectPython, OtherAllocators) {
  for (const std::string name : {"libjemalloc.so.2", "libtcmalloc_minimal.so.4"}) {
    const std::string path = "/usr/lib/x86_64-linux-gnu/" + name;
    if (::access(path.c_str(), R_OK) != 0) continue;
    SCOPED_TRACE(name);
    track_many_times({"env", "LD_PRELOAD=" + path, "/usr/bin/python3"}, 4, name.substr(0, name.find('.')));
  }
}

// One of each C library and each way to build it that is on this machine.
TEST(InjectPython, EveryInterpreter) {
  const char* const list = std::getenv("MEMSNAP_PYTHONS");
  std::ifstream lines(list != nullptr ? list : MEMSNAP_BINARY_DIR "/pythons.txt");  // those that cmake found
  std::size_t tried = 0;
  for (std::string line; std::getline(lines, line);) {
    const auto words = words_of(line);
    if (words.size() < 3) continue;
    SCOPED_TRACE(words[0]);
    std::printf("%s ", words[0].c_str());
    track_many_times({words.begin() + 2, words.end()}, 2);
    ++tried;
  }
  EXPECT_GT(tried, 0u);
}

}  // namespace
}  // namespace memsnap
