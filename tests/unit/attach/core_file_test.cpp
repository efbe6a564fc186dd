#include "attach/core_file.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

#include "attach/base/error.h"
#include "attach/core_memory.h"

namespace memsnap {
namespace {

// A core made of what the test says, in a file that is gone with it.
class ForgedCore {
 public:
  ForgedCore() : path_("/tmp/memsnap-core-XXXXXX"), file_(::mkstemp(path_.data())) {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_ident[EI_VERSION] = EV_CURRENT;
    header.e_type = ET_CORE;
    header.e_machine = EM_X86_64;
    header.e_version = EV_CURRENT;
    header.e_ehsize = sizeof(header);
    header.e_phoff = sizeof(header);
    header.e_phentsize = sizeof(Elf64_Phdr);
  }
  ~ForgedCore() {
    ::close(file_);
    ::unlink(path_.c_str());
  }
  ForgedCore(const ForgedCore&) = delete;
  ForgedCore& operator=(const ForgedCore&) = delete;

  void add(Elf64_Word type, std::uint64_t begin, std::uint64_t size, std::uint64_t offset, std::uint64_t stored,
           Elf64_Word flags = PF_R | PF_W) {
    programs_.push_back({.p_type = type,
                         .p_flags = flags,
                         .p_offset = offset,
                         .p_vaddr = begin,
                         .p_paddr = 0,
                         .p_filesz = stored,
                         .p_memsz = size,
                         .p_align = 4096});
  }
  void put(std::uint64_t offset, const void* bytes, std::size_t size) {
    ASSERT_EQ(::pwrite(file_, bytes, size, static_cast<off_t>(offset)), static_cast<ssize_t>(size));
  }
  const std::string& write(std::uint64_t size) {
    if (header.e_phnum == 0) header.e_phnum = static_cast<Elf64_Half>(programs_.size());  // else the test's claim
    put(0, &header, sizeof(header));
    put(sizeof(header), programs_.data(), programs_.size() * sizeof(Elf64_Phdr));
    EXPECT_EQ(::ftruncate(file_, static_cast<off_t>(size)), 0);
    return path_;
  }

  Elf64_Ehdr header{};

 private:
  std::string path_;
  int file_;
  std::vector<Elf64_Phdr> programs_;
};

ExitCode code_of(const std::string& path) {
  try {
    const CoreFile core(path);
    return ExitCode::kDone;
  } catch (const Error& error) {
    return error.code();
  }
}

// NT_FILE with one entry, in a note as the kernel writes it.
std::vector<std::uint64_t> files_note(std::uint64_t begin, std::uint64_t end) {
  std::vector<std::uint64_t> words(10);
  const std::array<std::uint32_t, 3> sizes{5, 48, NT_FILE};
  std::memcpy(words.data(), sizes.data(), sizeof(sizes));
  std::memcpy(reinterpret_cast<char*>(words.data()) + 12, "CORE", 5);
  const std::array<std::uint64_t, 6> contents{1, 4096, begin, end, 0, 0x622f};  // "/b"
  std::memcpy(reinterpret_cast<char*>(words.data()) + 20, contents.data(), sizeof(contents));
  return words;
}

TEST(CoreFile, WhatIsCutOffIsCounted) {
  ForgedCore forged;
  forged.add(PT_LOAD, 0x10000, 0x2000, 0x1000, 0x2000);
  forged.add(PT_LOAD, 0x20000, 0x2000, 0x3000, 0x2000);
  forged.add(PT_LOAD, 0x30000, 0x1000, 0x5000, 0x1000);

  const CoreFile core(forged.write(0x3800));

  ASSERT_EQ(core.segments().size(), 3u);
  EXPECT_EQ(core.segments()[0].present, 0x2000u);
  EXPECT_EQ(core.segments()[1].present, 0x800u);
  EXPECT_EQ(core.segments()[2].present, 0u);
  EXPECT_EQ(core.bytes_cut_off(), 0x1800u + 0x1000u);
}

TEST(CoreFile, SegmentsThatCannotBeAreLeftOut) {
  ForgedCore forged;
  forged.add(PT_LOAD, 0x20000, 0x2000, 0x1000, 0x2000);
  forged.add(PT_LOAD, 0x21000, 0x2000, 0x1000, 0x2000);             // inside another
  forged.add(PT_LOAD, 0xffffffffff600000, 0x1000, 0x1000, 0x1000);  // the page of the old system calls
  forged.add(PT_LOAD, 0x50000, ~0ull, 0x1000, 0x1000);              // beyond the end of all addresses
  forged.add(PT_LOAD, 0x60000, 0x1000, ~0ull - 0x10, 0x1000);       // beyond the end of all files
  forged.add(PT_LOAD, 0x10000, 0x1000, 0x1000, ~0ull);              // more stored than there was
  forged.add(PT_NOTE, 0, 0, 0x7fffffffffffffff, ~0ull);

  const CoreFile core(forged.write(0x3000));

  ASSERT_EQ(core.segments().size(), 2u);
  EXPECT_EQ(core.segments()[0].begin, 0x10000u);
  EXPECT_EQ(core.segments()[0].stored, 0x1000u);
  EXPECT_EQ(core.segments()[1].begin, 0x20000u);
  EXPECT_EQ(core.bad_notes(), 1u);
}

TEST(CoreFile, ClaimsThatTheFileCannotHoldAreRefused) {
  ForgedCore many;
  many.header.e_phnum = 60000;
  many.add(PT_LOAD, 0x10000, 0x1000, 0x1000, 0x1000);
  ForgedCore sections;
  sections.header.e_shoff = 0x100;
  sections.header.e_shentsize = sizeof(Elf64_Shdr);
  sections.add(PT_LOAD, 0x10000, 0x1000, 0x1000, 0x1000);
  const std::uint64_t claimed = 1ull << 60;
  sections.put(0x100 + offsetof(Elf64_Shdr, sh_size), &claimed, sizeof(claimed));
  ForgedCore other;
  other.header.e_machine = EM_AARCH64;
  other.add(PT_LOAD, 0x10000, 0x1000, 0x1000, 0x1000);
  ForgedCore program;
  program.header.e_type = ET_EXEC;
  program.add(PT_LOAD, 0x10000, 0x1000, 0x1000, 0x1000);
  ForgedCore empty;

  EXPECT_EQ(code_of(many.write(0x2000)), ExitCode::kBadFile);
  EXPECT_EQ(code_of(sections.write(0x2000)), ExitCode::kBadFile);
  EXPECT_EQ(code_of(other.write(0x2000)), ExitCode::kUnsupported);
  EXPECT_EQ(code_of(program.write(0x2000)), ExitCode::kBadFile);
  EXPECT_EQ(code_of(empty.write(0)), ExitCode::kBadFile);
  EXPECT_EQ(code_of("/nowhere/core"), ExitCode::kBadFile);
}

TEST(CoreFile, ACompressedOneSaysSo) {
  ForgedCore forged;
  const std::string path = forged.write(0x100);
  forged.put(0, "\x28\xb5\x2f\xfd", 4);

  try {
    const CoreFile core(path);
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("compressed"), std::string::npos);
  }
}

TEST(CoreFile, MoreSegmentsThanTheHeaderCanCountAreInItsSection) {
  constexpr std::uint32_t kCount = 70000;
  ForgedCore forged;
  forged.header.e_phnum = PN_XNUM;
  forged.header.e_shnum = 1;
  forged.header.e_shentsize = sizeof(Elf64_Shdr);
  forged.header.e_shoff = 0x500000;
  for (std::uint64_t i = 0; i < kCount; ++i) forged.add(PT_LOAD, 0x10000 + 0x2000 * i, 0x1000, 0x600000, 0x10);
  Elf64_Shdr section{};
  section.sh_info = kCount;
  section.sh_size = 1;
  forged.put(0x500000, &section, sizeof(section));

  EXPECT_EQ(CoreFile(forged.write(0x700000)).segments().size(), kCount);
}

TEST(CoreFile, AMappingIsNamedByTheFileAndOneThatWasLeftOutIsText) {
  ForgedCore forged;
  const auto note = files_note(0x11000, 0x14000);
  forged.add(PT_NOTE, 0, 0, 0x800, note.size() * 8);
  forged.put(0x800, note.data(), note.size() * 8);
  forged.add(PT_LOAD, 0x10000, 0x2000, 0x1000, 0x2000);

  const CoreFile core(forged.write(0x3000));
  const MemoryMap map = memory_map_of(core);

  EXPECT_EQ(core.bad_notes(), 0u);
  ASSERT_EQ(map.mappings().size(), 3u);
  EXPECT_EQ(map.mappings()[0].inode, 0u);
  EXPECT_EQ(map.mappings()[0].end, 0x11000u);
  EXPECT_EQ(map.mappings()[1].name, "/b");
  EXPECT_TRUE(map.mappings()[1].writable);
  EXPECT_EQ(map.mappings()[1].end, 0x12000u);
  EXPECT_EQ(map.mappings()[2].name, "/b");
  EXPECT_EQ(map.mappings()[2].offset, 0x1000u);
  EXPECT_EQ(map.mappings()[2].end, 0x14000u);
  EXPECT_TRUE(map.mappings()[2].executable && !map.mappings()[2].writable);
}

TEST(CoreMemory, ARangeAcrossFilesIsReadAndOneWithAHoleIsNot) {
  ForgedCore first;
  ForgedCore second;
  first.put(0x100, "abcd", 4);
  second.put(0x200, "efgh", 4);
  first.add(PT_LOAD, 0x10000, 0x1000, 0x1000, 0x1000);
  second.add(PT_LOAD, 0x10000, 0x1000, 0x1000, 0x1000);
  const CoreFile one(first.write(0x2000));
  const CoreFile two(second.write(0x2000));
  CoreMemory pieced;

  pieced.add(0x5000, 0x5004, one.descriptor(), 0x100);
  pieced.block(0x5008, 0x500c);
  pieced.add(0x5002, 0x5010, two.descriptor(), 0x1fe);  // only 0x5004-0x5008 and from 0x500c on are free

  std::array<char, 8> text{};
  EXPECT_TRUE(pieced.copy(0x5000, std::as_writable_bytes(std::span(text))));
  EXPECT_EQ(std::string_view(text.data(), 8), "abcdefgh");
  EXPECT_FALSE(pieced.try_read<std::uint64_t>(0x5004));  // blocked: the core was cut off there
  EXPECT_TRUE(pieced.try_read<std::uint32_t>(0x500c));
  EXPECT_FALSE(pieced.try_read<std::uint64_t>(0x500c));
  EXPECT_FALSE(pieced.try_read<std::uint8_t>(0x4fff));
  EXPECT_EQ(pieced.missing(0x4000, 0x6000), 0x2000u - 0x10u);
}

}  // namespace
}  // namespace memsnap
