#include "attach/file_finder.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "attach/base/error.h"
#include "attach/build_id.h"

namespace memsnap {
namespace {

namespace fs = std::filesystem;

// A program of headers alone, with a build id of four bytes, or with none.
std::string elf_with(const std::optional<std::uint32_t>& id) {
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_machine = EM_X86_64;
  header.e_phoff = sizeof(header);
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = id ? 1 : 0;
  const Elf64_Phdr program{.p_type = PT_NOTE,
                           .p_flags = PF_R,
                           .p_offset = sizeof(header) + sizeof(Elf64_Phdr),
                           .p_vaddr = 0,
                           .p_paddr = 0,
                           .p_filesz = 20,
                           .p_memsz = 20,
                           .p_align = 4};
  std::string bytes(reinterpret_cast<const char*>(&header), sizeof(header));
  bytes.append(reinterpret_cast<const char*>(&program), sizeof(program));
  const std::array<std::uint32_t, 5> note{4, 4, NT_GNU_BUILD_ID, 0x554e47, id.value_or(0)};
  bytes.append(reinterpret_cast<const char*>(note.data()), sizeof(note));
  return bytes;
}

class FileFinderTest : public testing::Test {
 protected:
  FileFinderTest() {
    std::string pattern = (fs::temp_directory_path() / "memsnap-files-XXXXXX").string();
    root_ = ::mkdtemp(pattern.data());
  }
  ~FileFinderTest() override { fs::remove_all(root_); }

  std::string put(const std::string& name, const std::string& bytes) const {
    const fs::path path = root_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
    return path.string();
  }

  fs::path root_;
};

constexpr std::uint32_t kWanted = 0x04030201;
constexpr std::uint32_t kOther = 0x08070605;
constexpr const char* kId = "01020304";

TEST_F(FileFinderTest, TheSameBuildIdIsTakenWhereItWasMappedFrom) {
  const std::string path = put("usr/bin/python3", elf_with(kWanted));

  const FoundFile found = FileFinder("", root_.string()).find({.path = "/usr/bin/python3", .build_id = kId});

  EXPECT_TRUE(found.file);
  EXPECT_EQ(found.path, path);
}

TEST_F(FileFinderTest, AnotherBuildIdIsNamedAndNotTaken) {
  const std::string path = put("opt/app/lib.so", elf_with(kOther));
  const std::string none = put("lib.so", elf_with(std::nullopt));

  const FoundFile found = FileFinder("", root_.string()).find({.path = "/opt/app/lib.so", .build_id = kId});

  EXPECT_FALSE(found.file);
  ASSERT_EQ(found.refused.size(), 2u);
  EXPECT_EQ(found.refused[0], path + " has build id 05060708");
  EXPECT_EQ(found.refused[1], none + " has no build id");
}

TEST_F(FileFinderTest, ALinkNamedByTheBuildIdLeadsToIt) {
  const std::string path = put("elsewhere/lib-2.so", elf_with(kWanted));
  fs::create_directories(root_ / "usr/lib/.build-id/01");
  fs::create_symlink(path, root_ / "usr/lib/.build-id/01/020304");

  EXPECT_TRUE(FileFinder("", root_.string()).find({.path = "/gone/lib.so", .build_id = kId}).file);
}

TEST_F(FileFinderTest, ADeletedFilesNameIsItsOldOne) {
  put("gone/lib.so", elf_with(kWanted));

  EXPECT_TRUE(FileFinder("", root_.string()).find({.path = "/gone/lib.so (deleted)", .build_id = kId}).file);
}

TEST_F(FileFinderTest, WithoutABuildIdOnlyTheGivenRootIsTrusted) {
  const std::string ours = put("ours.so", elf_with(kOther));
  const fs::path other = root_ / "other";
  fs::create_directories(other);

  EXPECT_FALSE(FileFinder("", other.string()).find({.path = ours, .build_id = std::nullopt}).file);
  EXPECT_TRUE(FileFinder("", other.string()).find({.path = ours, .build_id = "05060708"}).file);
  EXPECT_TRUE(FileFinder("", "").find({.path = ours, .build_id = std::nullopt}).file);
}

TEST_F(FileFinderTest, AnImageWithoutABuildIdIsNoFileWithOne) {
  const std::string path = put("x.so", elf_with(kOther));

  EXPECT_FALSE(FileFinder("", "").find({.path = path, .build_id = ""}).file);
  put("x.so", elf_with(std::nullopt));
  EXPECT_TRUE(FileFinder("", "").find({.path = path, .build_id = ""}).file);
}

TEST_F(FileFinderTest, AGivenProgramMustBeTheCores) {
  const std::string right = put("right", elf_with(kWanted));
  const std::string wrong = put("wrong", elf_with(kOther));
  const std::string text = put("text", "#!/bin/sh");
  const WantedFile wanted{.path = "/usr/bin/python3", .build_id = kId, .is_program = true};

  EXPECT_EQ(FileFinder(right, "").find(wanted).path, right);
  EXPECT_THROW(FileFinder(wrong, "").find(wanted), Error);
  EXPECT_THROW(FileFinder(text, "").find(wanted), Error);
  EXPECT_THROW(FileFinder((root_ / "none").string(), "").find(wanted), Error);
}

TEST_F(FileFinderTest, WhatIsNoRegularFileIsNotOpened) {
  const fs::path pipe = root_ / "pipe.so";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);  // opening it would wait for ever

  EXPECT_FALSE(FileFinder("", "").find({.path = pipe.string(), .build_id = kId}).file);
}

}  // namespace
}  // namespace memsnap
