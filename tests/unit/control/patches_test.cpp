#include "inject/control/patches.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <vector>

#include "attach/cached_memory.h"
#include "inject/control/written_pages.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kPage = 4096;

// A page of ours, read-only as a table is that the loader has protected.
class Page {
 public:
  Page()
      : words_(static_cast<std::uint64_t*>(
            ::mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    for (std::size_t i = 0; i < 8; ++i) words_[i] = 100 + i;
    ::mprotect(words_, kPage, PROT_READ);
  }
  ~Page() { ::munmap(words_, kPage); }
  Page(const Page&) = delete;
  Page& operator=(const Page&) = delete;
  std::uint64_t at(std::size_t index) const { return words_[index]; }
  void set(std::size_t index, std::uint64_t value) const {
    ::mprotect(words_, kPage, PROT_READ | PROT_WRITE);
    words_[index] = value;
  }
  std::uint64_t address(std::size_t index) const { return reinterpret_cast<std::uint64_t>(words_ + index); }
  AgentPatch patch(std::size_t index) const {
    return {address(index), 100 + index, 200 + index, PatchKind::kGotSlot, kPatchWritten};
  }

 private:
  std::uint64_t* words_;
};

TEST(Patches, AreWrittenPastProtectionAndUndone) {
  const Page page;
  const WritableMemory memory(::getpid());
  std::vector<AgentPatch> patches = {page.patch(1), page.patch(3)};

  ASSERT_TRUE(write_patches(memory, patches, 0));
  EXPECT_EQ(page.at(1), 201u);
  EXPECT_EQ(page.at(2), 102u);
  EXPECT_EQ(page.at(3), 203u);

  EXPECT_TRUE(undo_patches(memory, patches, 0));
  EXPECT_EQ(page.at(1), 101u);
  EXPECT_EQ(page.at(3), 103u);
  EXPECT_EQ(patches[0].state, kPatchUndone);
}

TEST(Patches, WordOfSomebodyElseIsLeftAlone) {
  const Page page;
  const WritableMemory memory(::getpid());
  std::vector<AgentPatch> patches = {page.patch(0), page.patch(1), page.patch(2)};
  ASSERT_TRUE(write_patches(memory, patches, 0));
  page.set(0, 999);
  page.set(1, 101);  // what it was

  EXPECT_TRUE(undo_patches(memory, patches, 0));

  EXPECT_EQ(page.at(0), 999u);
  EXPECT_EQ(patches[0].state, kPatchForeign);
  EXPECT_EQ(patches[1].state, kPatchUndone);
  EXPECT_EQ(patches[2].state, kPatchUndone);
}

TEST(Patches, WordHookedTwiceGetsWhatItWasBoundToInBetween) {
  const Page page;
  const WritableMemory memory(::getpid());
  AgentPatch again = page.patch(1);
  again.old_value = 555;  // bound by the loader in between
  std::vector<AgentPatch> patches = {page.patch(1), again};
  ASSERT_TRUE(write_patches(memory, patches, 0));

  EXPECT_TRUE(undo_patches(memory, patches, 0));

  EXPECT_EQ(page.at(1), 555u);
  EXPECT_EQ(patches[0].state, kPatchUndone);
  EXPECT_EQ(patches[1].state, kPatchUndone);
}

TEST(Patches, WordsThatAreGoneOrWereNeverWrittenAreNoFailure) {
  const WritableMemory memory(::getpid());
  std::vector<AgentPatch> patches = {{0x1000, 1, 2, PatchKind::kGotSlot, kPatchWritten},
                                     {0x1001, 1, 2, PatchKind::kGotSlot, kPatchWritten},
                                     {0x1000, 1, 2, PatchKind::kNone, kPatchWritten},
                                     {~0ull - 7, 1, 2, PatchKind::kGotSlot, kPatchWritten}};
  EXPECT_TRUE(undo_patches(memory, patches, 0));
  EXPECT_FALSE(write_patches(memory, patches, 0));
}

TEST(WrittenPages, OnlyWhatWasTouchedIsRead) {
  constexpr std::size_t kPages = 1000;
  auto* const begin = static_cast<std::byte*>(
      ::mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ::madvise(begin, kPages * kPage, MADV_NOHUGEPAGE);
  for (const std::size_t page : {0u, 7u, 8u, 255u, 256u, 999u}) begin[page * kPage] = std::byte{1};
  const auto address = reinterpret_cast<std::uint64_t>(begin);
  Mapping mapping;
  mapping.begin = address;
  mapping.end = address + kPages * kPage;
  for (const bool by_entries : {false, true}) {
    WrittenPages pages(::getpid());
    if (by_entries) pages.use_entries();
    std::vector<std::uint64_t> seen;
    pages.each(mapping, LiveMemory(::getpid()), false, [&](std::uint64_t at, std::span<const std::byte> bytes) {
      EXPECT_EQ(bytes.size() % kPage, 0u);
      for (std::size_t i = 0; i < bytes.size() / kPage; ++i) {
        EXPECT_EQ(bytes[i * kPage], std::byte{1});
        seen.push_back((at - address) / kPage + i);
      }
    });
    EXPECT_EQ(seen, (std::vector<std::uint64_t>{0, 7, 8, 255, 256, 999})) << by_entries;
    EXPECT_EQ(pages.unreadable(), 0u);
  }
  ::munmap(begin, kPages * kPage);
}

TEST(WrittenPages, ManyRunsAreAllFound) {
  constexpr std::size_t kPages = 4000;
  auto* const begin = static_cast<std::byte*>(
      ::mmap(nullptr, kPages * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ::madvise(begin, kPages * kPage, MADV_NOHUGEPAGE);
  for (std::size_t page = 0; page < kPages; page += 2) begin[page * kPage] = std::byte{1};
  Mapping mapping;
  mapping.begin = reinterpret_cast<std::uint64_t>(begin);
  mapping.end = mapping.begin + kPages * kPage;
  WrittenPages pages(::getpid());

  std::size_t seen = 0;
  pages.each(mapping, LiveMemory(::getpid()), false,
             [&](std::uint64_t, std::span<const std::byte> bytes) { seen += bytes.size() / kPage; });

  EXPECT_EQ(seen, kPages / 2);
  ::munmap(begin, kPages * kPage);
}

}  // namespace
}  // namespace memsnap
