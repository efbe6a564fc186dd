#include <string_view>
#include <vector>

#include "attach/elf_image.h"
#include "inject/control/loaded_library.h"
#include "tests/fuzz/fuzz_input.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kBase = 0x700000000000;
constexpr std::uint64_t kUnit = 256;  // mappings may begin and end in the middle of what is there

class NoFiles final : public ImageFiles {
 public:
  FileDescriptor open(const Mapping&, const std::string&) const override { return {}; }
  bool is_program(const Mapping& first) const override { return first.begin == kBase; }
};

// Up to three mappings of two files, which may overlap.
MemoryMap mappings(FuzzInput& input) {
  std::vector<Mapping> made;
  for (int count = input.take<std::uint8_t>() % 4; count >= 0; --count) {
    Mapping mapping;
    mapping.begin = kBase + input.take<std::uint8_t>() * kUnit;
    mapping.end = mapping.begin + (1 + input.take<std::uint8_t>()) * kUnit;
    mapping.offset = input.take<std::uint8_t>() * kUnit;
    const auto bits = input.take<std::uint8_t>();
    mapping.readable = true;
    mapping.writable = (bits & 1) != 0;
    mapping.executable = (bits & 2) != 0;
    mapping.inode = bits >> 2 & 3;
    mapping.name = (bits & 16) != 0 ? "/usr/lib/libc.so.6" : "/usr/bin/python3";
    made.push_back(mapping);
  }
  return MemoryMap(std::move(made));
}

void look_at(const MemoryMap& map, const ProcessMemory& memory) {
  const auto images = loaded_images(std::make_shared<NoFiles>(), map, memory);
  for (const auto& image : images) {
    for (const std::string_view name : {"f", "_PyRuntime", "malloc", "_r_debug", ""}) {
      (void)image->symbol(name);
      (void)image->exported_function(name);
    }
    (void)image->section(".PyRuntime");
    (void)image->range();
    (void)image->unwind_header();
    (void)image->build_id();
    std::size_t words = 0;
    each_imported_word(*image, memory, [&](const SymbolWord&) { ++words; });
    require(words < 1u << 24);
  }
  (void)in_load_order(images, memory);
  (void)libraries_loaded(loader_record(images, memory), memory);
}

}  // namespace
}  // namespace memsnap

// ELF objects as they lie in the target's memory: mappings, then the bytes at their place.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  memsnap::FuzzInput input(data, size);
  const memsnap::MemoryMap map = memsnap::mappings(input);
  const memsnap::InputMemory memory(memsnap::kBase, input.rest());
  memsnap::look_at(map, memory);
  return 0;
}
