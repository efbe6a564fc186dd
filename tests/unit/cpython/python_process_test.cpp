#include "snapshot/cpython/python_process.h"

#include <gtest/gtest.h>

#include "attach/base/error.h"
#include "tests/unit/cpython/fake_memory.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kRuntime = 0x10000;
constexpr std::uint64_t kVersion = 0x8000;

class FakeImage final : public ElfImage {
 public:
  FakeImage(std::string path, std::map<std::string, std::uint64_t, std::less<>> symbols, bool is_64_bit = true)
      : path_(std::move(path)), symbols_(std::move(symbols)), is_64_bit_(is_64_bit) {}

  const std::string& path() const override { return path_; }
  std::uint64_t load_bias() const override { return 0; }
  std::string build_id() const override { return {}; }
  bool is_64_bit_x86() const override { return is_64_bit_; }
  std::optional<std::uint64_t> symbol(std::string_view name) const override {
    const auto found = symbols_.find(name);
    return found == symbols_.end() ? std::nullopt : std::optional(found->second);
  }
  std::optional<Section> section(std::string_view) const override { return std::nullopt; }
  const std::vector<Section>& writable_segments() const override { return segments_; }

 private:
  std::string path_;
  std::map<std::string, std::uint64_t, std::less<>> symbols_;
  std::vector<Section> segments_;
  bool is_64_bit_;
};

std::string refusal(const std::vector<FakeImage>& fakes, const FakeMemory& memory) {
  std::vector<std::unique_ptr<ElfImage>> images;
  images.reserve(fakes.size());
  for (const FakeImage& fake : fakes) images.push_back(std::make_unique<FakeImage>(fake));
  try {
    find_python(42, images, memory);
    return "found";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kUnsupported);
    EXPECT_FALSE(error.hint().empty());
    return error.what();
  }
}

FakeMemory memory_with_runtime() {
  FakeMemory memory;
  memory.map(kVersion, 4096);
  memory.map(kRuntime, 1u << 20);
  return memory;
}

TEST(FindPython, OtherProgramsAreNotPython) {
  EXPECT_EQ(refusal({{"/usr/bin/sleep", {}}, {"/lib/libc.so.6", {}}}, {}),
            "process 42 is not Python: no program or library in it is a CPython");
  EXPECT_EQ(refusal({}, {}), "process 42 is not Python: no program or library in it is a CPython");
}

TEST(FindPython, SaysWhichPythonItCannotRead) {
  EXPECT_EQ(
      refusal({{"/opt/pypy/bin/pypy3", {}}, {"/opt/pypy/bin/libpypy3.9-c.so", {{"rpython_startup_code", 1}}}}, {}),
      "process 42 runs PyPy, which is not CPython");
  EXPECT_EQ(refusal({{"/usr/lib/libpython2.7.so.1.0", {{"Py_Initialize", 1}, {"PyString_Type", 2}}}}, {}),
            "process 42 runs CPython 2.7, which is not supported");
  EXPECT_EQ(refusal({{"/usr/bin/python3.6m", {{"Py_Initialize", 1}}}}, {}),
            "process 42 runs CPython 3.6, which is not supported");
  EXPECT_EQ(refusal({{"/srv/app", {{"Py_Initialize", 1}}}}, {}),
            "process 42 runs CPython older than 3.7, which is not supported");
}

TEST(FindPython, ReleasesWithARuntimeAndNoTableAreNamed) {
  EXPECT_EQ(refusal({{"/usr/lib/libpython3.7m.so.1.0", {{"_PyRuntime", kRuntime}}}}, memory_with_runtime()),
            "CPython 3.7 is not supported");

  FakeMemory future = memory_with_runtime();
  future.put_text(kRuntime, "xdebugpy");
  future.put<std::uint64_t>(kRuntime + 8, 0x031000f0);
  EXPECT_EQ(refusal({{"/usr/bin/python3.16", {{"_PyRuntime", kRuntime}}}}, future), "CPython 3.16 is not supported");
}

TEST(FindPython, A32BitProgramIsRefused) {
  EXPECT_EQ(refusal({{"/usr/bin/python3.11", {}, false}}, {}), "process 42 is not a 64-bit x86 program");
}

TEST(FindPython, FreeThreadedBuildsAreRefusedByThatWord) {
  FakeMemory memory = memory_with_runtime();
  memory.put_text(kRuntime, "xdebugpy");
  memory.put<std::uint64_t>(kRuntime + 8, 0x030e00f0);
  memory.put<std::uint64_t>(kRuntime + 16, 1);

  EXPECT_EQ(refusal({{"/usr/bin/python3.14t", {{"_PyRuntime", kRuntime}}}}, memory),
            "process 42 runs a free-threaded CPython 3.14.0, which is not supported yet");
}

TEST(FindPython, ALibraryThatIsNotInitialisedIsNoInterpreter) {
  FakeMemory memory = memory_with_runtime();
  memory.put<std::uint64_t>(kVersion, 0x030b02f0);

  EXPECT_EQ(
      refusal(
          {{"/srv/app", {}}, {"/usr/lib/libpython3.11.so.1.0", {{"_PyRuntime", kRuntime}, {"Py_Version", kVersion}}}},
          memory),
      "no Python interpreter is running in process 42: /usr/lib/libpython3.11.so.1.0 is loaded, but not initialised");
}

TEST(FindPython, ARuntimeThatLeadsNowhereFailsACheckByName) {
  FakeMemory memory = memory_with_runtime();
  memory.put<std::uint64_t>(kVersion, 0x030b02f0);
  memory.put<std::uint64_t>(kRuntime + 40, 0xdead0000);

  EXPECT_EQ(refusal({{"/usr/bin/python3.11", {{"_PyRuntime", kRuntime}, {"Py_Version", kVersion}}}}, memory),
            "process 42 looks like CPython 3.11.2, but this check failed: the list of interpreters");
}

}  // namespace
}  // namespace memsnap
