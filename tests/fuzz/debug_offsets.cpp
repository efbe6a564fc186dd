#include "snapshot/cpython/debug_offsets.h"

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attach/base/error.h"
#include "snapshot/cpython/py_layout.h"
#include "snapshot/cpython/python_process.h"
#include "tests/fuzz/fuzz_input.h"

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

void look_at(const ProcessMemory& memory) {
  try {
    if (const auto offsets = read_debug_offsets(memory, kRuntime); offsets && !offsets->words.empty()) {
      HeapLayout layout = layout_for(offsets->version.hex());
      overlay(*offsets, layout);
    }
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
