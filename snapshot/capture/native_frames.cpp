#include "snapshot/capture/native_frames.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <vector>

#include "attach/base/error.h"
#include "attach/cached_memory.h"
#include "attach/elf_image.h"
#include "attach/memory_map.h"
#include "attach/native_symbols.h"
#include "attach/process_memory.h"

namespace memsnap {
namespace {

constexpr std::array<std::string_view, 2> kLoops{"_PyEval_EvalFrameDefault", "_TAIL_CALL_"};
// Objects/obmalloc.c, and operator new.
constexpr std::array<std::string_view, 20> kAllocators{
    "PyMem_RawMalloc",  "PyMem_RawCalloc",   "PyMem_RawRealloc", "PyMem_Malloc",           "PyMem_Calloc",
    "PyMem_Realloc",    "PyObject_Malloc",   "PyObject_Calloc",  "PyObject_Realloc",       "pymalloc_realloc",
    "pymalloc_alloc",   "_PyObject_Malloc",  "_PyObject_Calloc", "_PyObject_Realloc",      "_PyMem_RawMalloc",
    "_PyMem_RawCalloc", "_PyMem_RawRealloc", "new_arena",        "allocate_from_new_pool", "operator new"};

// Where the function begins that `address` is in, by the search table for unwinding; `address` when it does not say.
std::uint64_t function_begin(const ElfImage& image, const ProcessMemory& memory, std::uint64_t address) {
  struct Header {  // LSB, .eh_frame_hdr
    std::uint8_t version, frame_encoding, count_encoding, table_encoding;
    std::int32_t frame;
    std::uint32_t count;
  };
  struct Entry {  // both from the header on
    std::int32_t begin, description;
  };
  constexpr std::uint8_t kUnsigned4 = 0x03;
  constexpr std::uint8_t kSigned4Table = 0x3b;
  const ElfImage::Section place = image.unwind_header();
  const auto header = place.begin == 0 ? std::nullopt : memory.try_read<Header>(place.begin);
  if (!header || header->version != 1 || header->count_encoding != kUnsigned4 ||
      header->table_encoding != kSigned4Table)
    return address;
  const auto begin_of = [&](std::uint64_t i) -> std::optional<std::uint64_t> {
    const auto entry = memory.try_read<Entry>(place.begin + sizeof(Header) + i * sizeof(Entry));
    if (!entry) return std::nullopt;
    return place.begin + static_cast<std::uint64_t>(std::int64_t{entry->begin});
  };
  std::uint64_t found = address;
  for (std::uint64_t low = 0, high = header->count; low < high;) {
    const std::uint64_t middle = (low + high) / 2;
    const auto begin = begin_of(middle);
    if (!begin) return address;
    if (*begin <= address) {
      found = *begin;
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return found < image.range().begin ? address : found;
}

}  // namespace

bool is_hidden_function(std::string_view name) {
  if (std::any_of(kLoops.begin(), kLoops.end(), [&](std::string_view loop) { return name.starts_with(loop); }))
    return true;
  const std::string_view plain = name.substr(0, name.find_first_of("(["));
  return std::find(kAllocators.begin(), kAllocators.end(), plain) != kAllocators.end();
}

struct NativeFrames::State {
  pid_t pid;
  LiveMemory memory{pid};
  std::vector<std::unique_ptr<ElfImage>> images{};
  std::optional<NativeSymbols> symbols{};
  int in_vain = 0;
  std::chrono::steady_clock::time_point counted_from{};

  const ElfImage* image_of(std::uint64_t address) const {
    const auto found = std::find_if(images.begin(), images.end(), [&](const auto& image) {
      return address >= image->range().begin && address < image->range().end;
    });
    return found == images.end() ? nullptr : found->get();
  }

  // Code that was made at run time is in no library: it is not looked for each time.
  void load() {
    constexpr std::chrono::milliseconds kBetween{500};
    constexpr int kMostInVain = 2;
    const auto now = std::chrono::steady_clock::now();
    if (now - counted_from > kBetween) {
      counted_from = now;
      in_vain = 0;
    }
    if (in_vain >= kMostInVain) return;
    ++in_vain;
    try {
      auto found = loaded_images(pid, MemoryMap::of(pid), memory);
      if (found.empty()) return;
      symbols.reset();
      images = std::move(found);
      symbols.emplace(images);
    } catch (const Error&) {  // it has ended: what it had is known
    }
  }

  NativeName find(std::uint64_t return_address) {
    const std::uint64_t call = return_address - 1;
    if (image_of(call) == nullptr) {
      load();
      if (image_of(call) != nullptr) in_vain = 0;
    }
    const ElfImage* const image = image_of(call);
    NativeName name;
    if (image == nullptr || !symbols) return name;
    name.file = image->path();
    name.function = symbols->function(call);
    name.hidden = is_hidden_function(name.function);
    if (name.function.empty()) {
      const std::string_view file = std::string_view(name.file).substr(name.file.rfind('/') + 1);
      const std::uint64_t begin = function_begin(*image, memory, call);
      name.function = fmt::format("{}+{:#x}", file, begin - image->range().begin);
    }
    return name;
  }
};

NativeFrames::NativeFrames(pid_t pid) : state_(new State{.pid = pid}) {}
NativeFrames::~NativeFrames() = default;

std::optional<std::string> NativeFrames::left_out() const {
  return state_->symbols ? state_->symbols->left_out() : std::nullopt;
}

NativeNames NativeFrames::names() {
  return [this](std::uint64_t return_address) { return state_->find(return_address); };
}

}  // namespace memsnap
