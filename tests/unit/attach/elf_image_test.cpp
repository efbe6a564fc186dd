#include "attach/elf_image.h"

#include <elf.h>
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstring>
#include <utility>

namespace memsnap {
namespace {

constexpr std::uint64_t kBase = 0x700000000000;

// An object with one symbol, "f", in 4 KiB of memory.
class FakeObject final : public ProcessMemory {
 public:
  FakeObject() {
    Elf64_Ehdr header{};
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_machine = EM_X86_64;
    header.e_type = ET_DYN;
    header.e_phoff = 64;
    header.e_phentsize = sizeof(Elf64_Phdr);
    header.e_phnum = 2;
    put(0, header);
    put(64, Elf64_Phdr{.p_type = PT_LOAD,
                       .p_flags = PF_R | PF_W,
                       .p_offset = 0,
                       .p_vaddr = 0,
                       .p_paddr = 0,
                       .p_filesz = 4096,
                       .p_memsz = 4096,
                       .p_align = 4096});
    put(120, Elf64_Phdr{.p_type = PT_DYNAMIC,
                        .p_flags = PF_R,
                        .p_offset = 0,
                        .p_vaddr = 512,
                        .p_paddr = 0,
                        .p_filesz = 64,
                        .p_memsz = 64,
                        .p_align = 8});
    put(512, std::array<std::uint64_t, 8>{DT_SYMTAB, 1024, DT_STRTAB, 2048, DT_HASH, 3072, DT_NULL, 0});
    put(1024 + sizeof(Elf64_Sym),
        Elf64_Sym{.st_name = 1, .st_info = 0, .st_other = 0, .st_shndx = 1, .st_value = 0x30, .st_size = 8});
    put(2049, std::array<char, 2>{'f', 0});
    put(3072, std::array<std::uint32_t, 5>{1, 2, 1, 0, 0});  // one bucket, two symbols
  }
  template <class T>
  void put(std::size_t at, const T& value) {
    std::memcpy(bytes.data() + at, &value, sizeof(T));
  }
  bool copy(std::uint64_t address, std::span<std::byte> out) const override {
    if (address < kBase || address - kBase > limit || out.size() > limit - (address - kBase)) return false;
    std::memcpy(out.data(), bytes.data() + (address - kBase), out.size());
    return true;
  }
  std::vector<std::unique_ptr<ElfImage>> load() const {
    Mapping mapping;
    mapping.begin = kBase;
    mapping.end = kBase + 4096;
    mapping.inode = 1;
    mapping.readable = true;
    mapping.name = "/nowhere/object.so";
    return loaded_images(0, MemoryMap({mapping}), *this);  // no process has pid 0: nothing comes from a file
  }

  std::array<std::byte, 4096> bytes{};
  std::size_t limit = 4096;
};

TEST(ElfImage, FindsASymbolInMemory) {
  const FakeObject object;
  const auto kept = object.load();
  ASSERT_EQ(kept.size(), 1u);
  EXPECT_EQ(kept[0]->load_bias(), kBase);
  EXPECT_EQ(kept[0]->symbol("f"), kBase + 0x30);
  EXPECT_FALSE(kept[0]->symbol("g"));
  EXPECT_FALSE(kept[0]->symbol(std::string(100000, 'f')));
}

TEST(ElfImage, EndsOnAHashChainThatPointsAtItself) {
  FakeObject object;
  object.put(3072 + 12, std::array<std::uint32_t, 2>{0, 1});
  const auto images = object.load();
  ASSERT_EQ(images.size(), 1u);
  EXPECT_FALSE(images[0]->symbol("g"));
}

TEST(ElfImage, SurvivesHugeCountsAndWildPointers) {
  for (std::size_t at = 0; at + 8 <= 4096; at += 8) {
    FakeObject object;
    object.put(at, ~std::uint64_t{0});
    for (const auto& image : object.load()) {
      (void)image->symbol("f");
      EXPECT_FALSE(image->symbol("g")) << at;
    }
  }
}

TEST(ElfImage, SurvivesTruncation) {
  for (std::size_t limit = 0; limit < 4096; limit += 13) {
    FakeObject object;
    object.limit = limit;
    for (const auto& image : object.load()) EXPECT_FALSE(image->symbol("g")) << limit;
  }
}

Mapping mapping_of_object(std::uint64_t begin, std::uint64_t end, std::uint64_t offset) {
  Mapping mapping;
  mapping.begin = begin;
  mapping.end = end;
  mapping.offset = offset;
  mapping.inode = 1;
  mapping.readable = true;
  mapping.name = "/nowhere/object.so";
  return mapping;
}

// A second segment whose address is not its offset, as data segments have it.
void put_second_segment(FakeObject& object, std::uint32_t flags) {
  object.put(offsetof(Elf64_Ehdr, e_phnum), std::uint16_t{3});
  object.put(176, Elf64_Phdr{.p_type = PT_LOAD,
                             .p_flags = flags,
                             .p_offset = 4096,
                             .p_vaddr = 8192,
                             .p_paddr = 0,
                             .p_filesz = 4096,
                             .p_memsz = 4096,
                             .p_align = 4096});
}

std::size_t count_images(const FakeObject& object, std::vector<Mapping> mappings) {
  return loaded_images(0, MemoryMap(std::move(mappings)), object).size();
}

TEST(ElfImage, IsNotAFileThatIsMappedToBeRead) {
  FakeObject object;
  put_second_segment(object, PF_R);

  EXPECT_EQ(count_images(object, {mapping_of_object(kBase, kBase + 4096, 0),
                                  mapping_of_object(kBase + 8192, kBase + 12288, 4096)}),
            1u);
  EXPECT_EQ(count_images(object, {mapping_of_object(kBase, kBase + 12288, 0)}), 0u);
  EXPECT_EQ(count_images(object, {mapping_of_object(kBase, kBase + 4096, 0)}), 0u);
}

TEST(ElfImage, MayHaveASegmentReplacedByAnonymousMemory) {
  FakeObject object;
  put_second_segment(object, PF_R);
  Mapping anonymous = mapping_of_object(kBase + 8192, kBase + 12288, 0);
  anonymous.inode = 0;

  EXPECT_EQ(count_images(object, {mapping_of_object(kBase, kBase + 4096, 0), anonymous}), 1u);
}

TEST(ElfImage, HasItsCodeMappedExecutable) {
  FakeObject object;
  put_second_segment(object, PF_R | PF_X);
  Mapping code = mapping_of_object(kBase + 8192, kBase + 12288, 4096);

  EXPECT_EQ(count_images(object, {mapping_of_object(kBase, kBase + 4096, 0), code}), 0u);
  code.executable = true;
  EXPECT_EQ(count_images(object, {mapping_of_object(kBase, kBase + 4096, 0), code}), 1u);
}

TEST(ElfImage, FindsProgramHeadersThatWereMovedBehindTheCode) {
  FakeObject object;
  put_second_segment(object, PF_R);
  const Mapping first = mapping_of_object(kBase, kBase + 2048, 0);
  // Offset 0x5000 of the file lies at 2048 of the object's memory.
  const Mapping last = mapping_of_object(kBase + 2048, kBase + 4096, 0x5000);
  std::array<std::byte, 3 * sizeof(Elf64_Phdr)> headers{};
  std::memcpy(headers.data(), object.bytes.data() + 64, headers.size());
  object.put(3200, headers);
  object.put(64, std::array<std::byte, sizeof(headers)>{});
  object.put(offsetof(Elf64_Ehdr, e_phoff), std::uint64_t{0x5000 + 3200 - 2048});

  const auto images =
      loaded_images(0, MemoryMap({first, last, mapping_of_object(kBase + 8192, kBase + 12288, 4096)}), object);

  ASSERT_EQ(images.size(), 1u);
  EXPECT_EQ(images[0]->symbol("f"), kBase + 0x30);
}

TEST(ElfImage, Recognises32Bit) {
  FakeObject object;
  object.put(EI_CLASS, std::uint8_t{ELFCLASS32});
  const auto images = object.load();
  ASSERT_EQ(images.size(), 1u);
  EXPECT_FALSE(images[0]->is_64_bit_x86());
}

}  // namespace
}  // namespace memsnap
