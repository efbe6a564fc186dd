#include "attach/core_notes.h"

#include <elf.h>
#include <gtest/gtest.h>
#include <sys/procfs.h>

#include <array>
#include <csignal>
#include <cstring>
#include <random>
#include <string_view>

namespace memsnap {
namespace {

template <class T>
std::vector<std::byte> bytes_of(const T& value) {
  std::vector<std::byte> bytes(sizeof(T));
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

template <class T>
void append(std::vector<std::byte>& bytes, const T& value) {
  const auto more = bytes_of(value);
  bytes.insert(bytes.end(), more.begin(), more.end());
}

std::vector<std::byte> files_note(std::uint64_t count, std::uint64_t page,
                                  std::span<const std::array<std::uint64_t, 3>> entries, std::string_view names) {
  std::vector<std::byte> bytes;
  append(bytes, count);
  append(bytes, page);
  for (const auto& entry : entries) append(bytes, entry);
  for (const char c : names) append(bytes, c);
  return bytes;
}

constexpr std::array<std::array<std::uint64_t, 3>, 2> kTwo{{{0x1000, 0x3000, 0}, {0x3000, 0x4000, 2}}};
constexpr std::string_view kTwoNames("/bin/a\0/lib/b\0", 14);

elf_prstatus status_of(pid_t tid, short signal) {
  elf_prstatus status{};
  status.pr_pid = tid;
  status.pr_cursig = signal;
  user_regs_struct registers{};
  registers.fs_base = 0x7f0000001000;
  std::memcpy(&status.pr_reg, &registers, sizeof(registers));
  return status;
}

TEST(CoreNotes, MappedFilesHaveTheirOffsetsInBytes) {
  std::vector<CoreMappedFile> files;

  ASSERT_TRUE(read_files_note(files_note(2, 4096, kTwo, kTwoNames), files));

  ASSERT_EQ(files.size(), 2u);
  EXPECT_EQ(files[0].path, "/bin/a");
  EXPECT_EQ(files[1].path, "/lib/b");
  EXPECT_EQ(files[1].begin, 0x3000u);
  EXPECT_EQ(files[1].end, 0x4000u);
  EXPECT_EQ(files[1].offset, 8192u);
}

TEST(CoreNotes, AFilesNoteThatContradictsItselfChangesNothing) {
  std::vector<CoreMappedFile> files{{.begin = 1, .end = 2, .offset = 3, .path = "kept"}};
  const std::array<std::array<std::uint64_t, 3>, 1> backwards{{{0x3000, 0x1000, 0}}};
  const std::array<std::array<std::uint64_t, 3>, 1> far{{{0x1000, 0x2000, ~0ull}}};
  const std::array<std::array<std::uint64_t, 3>, 1> kernel{{{0x1000, 1ull << 50, 0}}};
  const std::string_view name("x\0", 2);

  EXPECT_FALSE(read_files_note(files_note(3, 4096, kTwo, kTwoNames), files));
  EXPECT_FALSE(read_files_note(files_note(~0ull, 4096, kTwo, kTwoNames), files));
  EXPECT_FALSE(read_files_note(files_note(~0ull / 24 + 1, 4096, kTwo, kTwoNames), files));
  EXPECT_FALSE(read_files_note(files_note(2, 0, kTwo, kTwoNames), files));
  EXPECT_FALSE(read_files_note(files_note(2, ~0ull, kTwo, kTwoNames), files));
  EXPECT_FALSE(read_files_note(files_note(2, 4096, kTwo, kTwoNames.substr(0, 13)), files));
  EXPECT_FALSE(read_files_note(files_note(1, 4096, backwards, name), files));
  EXPECT_FALSE(read_files_note(files_note(1, 4096, far, name), files));
  EXPECT_FALSE(read_files_note(files_note(1, 4096, kernel, name), files));

  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files[0].path, "kept");
}

TEST(CoreNotes, EveryShorterNoteIsRefused) {
  const auto files = files_note(2, 4096, kTwo, kTwoNames);
  const auto status = bytes_of(status_of(7, SIGABRT));
  const auto info = bytes_of(elf_prpsinfo{});
  const auto signal = bytes_of(siginfo_t{});

  for (std::size_t size = 0; size < files.size(); ++size) {
    std::vector<CoreMappedFile> found;
    EXPECT_FALSE(read_files_note(std::span(files).first(size), found)) << size;
  }
  CoreProcessInfo process;
  for (std::size_t size = 0; size < status.size(); ++size)
    EXPECT_FALSE(read_status_note(std::span(status).first(size), process));
  for (std::size_t size = 0; size < info.size(); ++size)
    EXPECT_FALSE(read_info_note(std::span(info).first(size), process));
  for (std::size_t size = 0; size < signal.size(); ++size)
    EXPECT_FALSE(read_signal_note(std::span(signal).first(size), process));
  EXPECT_TRUE(process.threads.empty());
}

TEST(CoreNotes, TheFirstThreadGotTheSignal) {
  CoreProcessInfo process;

  ASSERT_TRUE(read_status_note(bytes_of(status_of(12, SIGABRT)), process));
  ASSERT_TRUE(read_status_note(bytes_of(status_of(11, 0)), process));

  ASSERT_EQ(process.threads.size(), 2u);
  EXPECT_EQ(process.threads[0].tid, 12);
  EXPECT_EQ(process.threads[0].registers.fs_base, 0x7f0000001000u);
  EXPECT_EQ(process.signal, SIGABRT);
}

TEST(CoreNotes, ASignalThatLeavesNoCoreDidNotEndIt) {
  CoreProcessInfo process;

  ASSERT_TRUE(read_status_note(bytes_of(status_of(12, SIGSTOP)), process));

  EXPECT_EQ(process.signal, 0);
}

TEST(CoreNotes, TextsThatDoNotEndAreCutAtTheirField) {
  elf_prpsinfo info{};
  info.pr_pid = 42;
  std::memset(info.pr_fname, 'a', sizeof(info.pr_fname));
  std::memset(info.pr_psargs, 'b', sizeof(info.pr_psargs));
  CoreProcessInfo process;

  ASSERT_TRUE(read_info_note(bytes_of(info), process));

  EXPECT_EQ(process.pid, 42);
  EXPECT_EQ(process.name, std::string(sizeof(info.pr_fname), 'a'));
  EXPECT_EQ(process.arguments, std::string(sizeof(info.pr_psargs), 'b'));
}

TEST(CoreNotes, OnlyAFaultHasAnAddress) {
  siginfo_t fault{};
  fault.si_signo = SIGSEGV;
  fault.si_code = 1;
  fault.si_addr = reinterpret_cast<void*>(0x10);  // NOLINT(performance-no-int-to-ptr): as in the note
  siginfo_t sent = fault;
  sent.si_code = SI_USER;
  CoreProcessInfo faulted;
  CoreProcessInfo killed;

  ASSERT_TRUE(read_signal_note(bytes_of(fault), faulted));
  ASSERT_TRUE(read_signal_note(bytes_of(sent), killed));

  EXPECT_EQ(faulted.fault_address, 0x10u);
  EXPECT_EQ(killed.fault_address, 0u);
}

TEST(CoreNotes, AnAuxiliaryVectorWithoutAnEndIsBad) {
  const auto whole = bytes_of(std::array<std::uint64_t, 6>{AT_PHDR, 0x40, AT_RANDOM, 0x7000, AT_NULL, 0});
  CoreProcessInfo process;

  EXPECT_TRUE(read_auxiliary_note(whole, process));
  EXPECT_EQ(process.program_headers, 0x40u);
  EXPECT_EQ(process.random_bytes, 0x7000u);
  EXPECT_FALSE(read_auxiliary_note(std::span(whole).first(32), process));
  EXPECT_FALSE(read_auxiliary_note({}, process));
}

TEST(CoreNotes, RandomBytesNeverLeadOutside) {
  std::mt19937 random(5);  // NOLINT(cert-msc51-cpp): the same each time
  for (int round = 0; round < 20000; ++round) {
    std::vector<std::byte> bytes(random() % 400);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random() % 4 == 0 ? random() : 0);
    CoreProcessInfo process;
    std::vector<CoreMappedFile> files;
    read_files_note(bytes, files);
    read_auxiliary_note(bytes, process);
    read_status_note(bytes, process);
    for (const CoreMappedFile& file : files) EXPECT_LT(file.begin, file.end);
  }
}

}  // namespace
}  // namespace memsnap
