#include <memory>
#include <string>
#include <vector>

#include "attach/elf_image.h"
#include "attach/native_symbols.h"
#include "tests/fuzz/fuzz_input.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kBase = 0x700000000000;
constexpr std::uint64_t kPage = 4096;

// The file that was mapped, whatever is asked for.
class OneFile final : public ImageFiles {
 public:
  explicit OneFile(std::span<const std::uint8_t> bytes) : file_(bytes) {}
  FileDescriptor open(const Mapping&, const std::string&) const override { return file_.again(); }
  bool is_program(const Mapping&) const override { return true; }

 private:
  FileInMemory file_;
};

void look_at(std::span<const std::uint8_t> bytes) {
  Mapping mapped;
  mapped.begin = kBase;
  mapped.end = kBase + kPage;
  mapped.inode = 1;
  mapped.readable = mapped.executable = true;
  mapped.name = "/nowhere/library.so";
  Mapping behind;  // segments that were replaced by anonymous memory
  behind.begin = mapped.end;
  behind.end = mapped.end + (1u << 20);
  behind.readable = behind.writable = behind.executable = true;
  const InputMemory memory(kBase, bytes);
  const auto images = loaded_images(std::make_shared<OneFile>(bytes), MemoryMap({mapped, behind}), memory);
  NativeSymbols symbols(images);
  for (const auto& image : images) {
    (void)image->symbol("f");
    (void)image->section(".text");
    const auto range = image->range();
    for (std::uint64_t at = range.begin; at < range.end && at < range.begin + kPage; at += 16) {
      (void)symbols.find(at);
      (void)symbols.function(at + 1);
    }
  }
}

}  // namespace
}  // namespace memsnap

// A library's file with its symbols and its DWARF, as the target brings them along.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  memsnap::look_at({data, size});
  return 0;
}
