#include "snapshot/cpython/debug_offsets.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attach/base/error.h"
#include "attach/base/log.h"
#include "snapshot/cpython/python_process.h"
#include "snapshot/walk/heap_walker.h"
#include "snapshot/walk/plan.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/walk/forged_process.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kRuntime = 0x10000;

// A program whose symbols all lie in what the input says.
class ForgedImage final : public ElfImage {
 public:
  const std::string& path() const override { return path_; }
  std::uint64_t load_bias() const override { return 0; }
  std::string build_id() const override { return {}; }
  bool is_64_bit_x86() const override { return true; }
  std::optional<std::uint64_t> symbol(std::string_view name) const override {
    if (name == "_PyRuntime") return kRuntime;
    if (name.starts_with("Py") && name.ends_with("_Type")) return kRuntime + 1024 + name.size() * 32;
    return std::nullopt;
  }
  std::optional<Section> section(std::string_view) const override { return std::nullopt; }
  const std::vector<Section>& writable_segments() const override { return segments_; }

 private:
  std::string path_ = "/usr/bin/python3";
  std::vector<Section> segments_;
};

// A heap of the release that the target says it is, walked with the offsets that it says.
void walk_with(const DebugOffsets& offsets) {
  constexpr std::uint32_t kFirst = 0x030d0000, kLast = 0x030fffff;
  if (offsets.words.empty() || offsets.version.hex() < kFirst || offsets.version.hex() > kLast) return;
  static std::map<std::uint32_t, ForgedProcess> made;
  const std::uint32_t release = offsets.version.hex() >> 16 << 16 | 0xf0;
  ForgedProcess& target = made.try_emplace(release, release).first->second;
  PythonProcess python = target.python;
  overlay(offsets, python.layout);
  NullLog log;
  try {
    const WalkPlan plan = make_plan(target.memory(), target.map(), python, log);
    require(walk_heap(target, plan, {}, log).objects <= (target.last - FakeArena::kBegin) / 8);
  } catch (const Error&) {
    return;  // a refusal
  }
}

void look_at(const ProcessMemory& memory) {
  try {
    if (const auto offsets = read_debug_offsets(memory, kRuntime)) walk_with(*offsets);
  } catch (const Error& error) {
    require(error.code() == ExitCode::kUnsupported);
  }
  std::vector<std::unique_ptr<ElfImage>> images;
  images.push_back(std::make_unique<ForgedImage>());
  try {
    find_python(42, images, memory);
  } catch (const Error& error) {
    require(error.code() == ExitCode::kUnsupported);
  }
}

}  // namespace
}  // namespace memsnap

// _PyRuntime and what follows it: offsets that the target says of itself, then the search for a CPython that uses them.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  memsnap::look_at(memsnap::InputMemory(memsnap::kRuntime, {data, size}));
  return 0;
}
