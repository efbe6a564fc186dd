#include "inject/control/shared_tables.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <vector>

#include "attach/base/error.h"
#include "inject/control/agent_image.h"

namespace memsnap {
namespace {

struct Placed {
  AgentSection section;
  std::uint64_t item;
};

std::vector<Placed> all_sections(const TableSizes& tables) {
  const AgentHeader::Sections& s = tables.sections;
  return {{s.patches, sizeof(AgentPatch)},
          {s.threads, sizeof(AgentThread)},
          {s.thread_hash, 8},
          {s.scratch, 1},
          {s.nodes, sizeof(AgentNode)},
          {s.counts, sizeof(AgentCounts)},
          {s.node_hash, 4},
          {s.codes, sizeof(AgentCode)},
          {s.code_hash, 4},
          {s.texts, 1},
          {s.roots, 4},
          {s.leaves, kLeafWords * 8ull}};
}

TEST(TableSizes, SectionsFollowEachOtherInWholePages) {
  for (unsigned step = 0; step < kTableSteps; ++step) {
    const TableSizes tables = table_sizes(step, 1u << 30);
    std::uint64_t end = sizeof(AgentHeader);
    for (const auto& [section, item] : all_sections(tables)) {
      EXPECT_EQ(section.offset % kPageSize, 0u);
      EXPECT_GE(section.offset, end);
      EXPECT_GT(section.capacity, 0u);
      end = section.offset + section.capacity * item;
    }
    EXPECT_GE(tables.size, end);
  }
}

TEST(TableSizes, HashTablesAreAPowerOfTwoAndHaveRoom) {
  for (unsigned step = 0; step < kTableSteps; ++step) {
    const AgentHeader::Sections sections = table_sizes(step, 0).sections;
    for (const AgentSection& hash : {sections.thread_hash, sections.node_hash, sections.code_hash})
      EXPECT_TRUE(std::has_single_bit(hash.capacity));
    EXPECT_GE(sections.thread_hash.capacity, 2 * sections.threads.capacity);
    EXPECT_GE(sections.node_hash.capacity, 2 * sections.nodes.capacity);
    EXPECT_GE(sections.code_hash.capacity, 2 * sections.codes.capacity);
    EXPECT_LE(sections.nodes.capacity, kMostSites);
    EXPECT_GE(sections.scratch.capacity, sections.threads.capacity * kAgentScratch);
  }
}

TEST(TableSizes, EachStepIsSmallerAndHoldsWhatIsThere) {
  constexpr std::uint64_t kResident = 20ull << 30;
  for (unsigned step = 1; step < kTableSteps; ++step)
    EXPECT_LT(table_sizes(step, 0).size, table_sizes(step - 1, 0).size);
  for (unsigned step = 0; step < kTableSteps; ++step)
    EXPECT_GE(table_sizes(step, kResident).sections.leaves.capacity << kLeafShift, kResident);
}

TEST(SharedTables, FileIsSizedSealedAndHasAHeader) {
  const int made = ::memfd_create(kAgentName, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  const TableSizes sizes = table_sizes(kTableSteps - 1, 0);
  AgentHeader facts{};
  facts.period = 77;

  SharedTables tables{FileDescriptor(made), sizes, facts};

  AgentHeader header{};
  ASSERT_EQ(::pread(tables.descriptor(), &header, sizeof(header), 0), static_cast<ssize_t>(sizeof(header)));
  EXPECT_EQ(header.magic, kAgentMagic);
  EXPECT_EQ(header.abi, kAgentAbiVersion);
  EXPECT_EQ(header.period, 77u);
  EXPECT_EQ(header.size, sizes.size);
  EXPECT_EQ(header.keeper_pid, static_cast<std::uint64_t>(::getpid()));
  EXPECT_NE(::ftruncate(tables.descriptor(), 0), 0) << "the target could make our view end";
}

TEST(SharedTables, PatchesAreInTheJournalAndKeptApart) {
  const TableSizes sizes = table_sizes(kTableSteps - 1, 0);
  SharedTables tables{FileDescriptor(::memfd_create(kAgentName, MFD_CLOEXEC)), sizes, {}};
  const std::array<AgentPatch, 2> patches = {{{8, 1, 2, PatchKind::kGotSlot, 1}, {16, 3, 4, PatchKind::kGotSlot, 1}}};

  ASSERT_TRUE(tables.add(patches));
  tables.header().patch_count = ~0ull;  // as a target could

  ASSERT_EQ(tables.patches().size(), 2u);
  tables.patches()[1].state = 2;
  tables.write_journal();
  std::array<AgentPatch, 2> journal{};
  const auto offset = static_cast<off_t>(sizes.sections.patches.offset);
  ASSERT_EQ(::pread(tables.descriptor(), journal.data(), sizeof(journal), offset),
            static_cast<ssize_t>(sizeof(journal)));
  EXPECT_EQ(journal[0].address, 8u);
  EXPECT_EQ(journal[1].state, 2u);
}

TEST(SharedTables, JournalThatIsFullTakesNoMore) {
  const TableSizes sizes = table_sizes(kTableSteps - 1, 0);
  SharedTables tables{FileDescriptor(::memfd_create(kAgentName, MFD_CLOEXEC)), sizes, {}};
  const std::vector<AgentPatch> patches(sizes.sections.patches.capacity - 1);

  EXPECT_TRUE(tables.add(patches));
  EXPECT_FALSE(tables.add(std::span(patches).first(2)));
  EXPECT_TRUE(tables.add(std::span(patches).first(1)));
  EXPECT_FALSE(tables.add(std::span(patches).first(1)));
}

}  // namespace
}  // namespace memsnap
