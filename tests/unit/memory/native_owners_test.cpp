#include "snapshot/memory/native_owners.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace memsnap {
namespace {

// Following parents from each block ends at an object; kNobody where it is not reached.
constexpr std::uint32_t kNobody = 0xffffffff;
std::vector<std::uint32_t> owners(const NativeLinks& links) {
  const std::vector<NativeParent> parents = assign_parents(links);
  std::vector<std::uint32_t> owners;
  for (std::uint32_t block = 0; block < links.blocks; ++block) {
    NativeParent at = parents[block];
    for (std::uint32_t steps = 0; at.reached() && !at.is_object && steps <= links.blocks; ++steps)
      at = parents[at.number];
    owners.push_back(at.is_object ? at.number : kNobody);
  }
  return owners;
}

NativeLinks four_blocks() {
  NativeLinks links;
  links.blocks = 4;
  links.density.assign(4, 0.5F);
  return links;
}

TEST(NativeOwners, BlockBelongsToWhatIsNearest) {
  NativeLinks links = four_blocks();
  links.from_object = {{10, 0}, {20, 1}};
  links.from_block = {{0, 2}, {1, 3}, {2, 3}, {3, 2}};  // 2 and 3 are in a list of all of their kind

  EXPECT_EQ(owners(links), (std::vector<std::uint32_t>{10, 20, 10, 20}));
}

TEST(NativeOwners, OfTwoAsNearTheOneOfWhichMoreIsPointersCounts) {
  NativeLinks links = four_blocks();
  links.from_object = {{10, 0}, {20, 1}};
  links.from_block = {{0, 2}, {1, 2}, {2, 3}};
  links.density = {0.01F, 0.5F, 0.5F, 0.5F};

  EXPECT_EQ(owners(links), (std::vector<std::uint32_t>{10, 20, 20, 20}));
}

TEST(NativeOwners, ModuleOwnsOnlyWhatNoOtherObjectLeadsTo) {
  NativeLinks links = four_blocks();
  links.from_module = {{5, 2}, {5, 3}};
  links.from_object = {{10, 0}};
  links.from_block = {{0, 1}, {1, 2}};

  EXPECT_EQ(owners(links), (std::vector<std::uint32_t>{10, 10, 10, 5}));
}

// A document's nodes, linked to and fro, of which a parser's stack still holds one far from the first.
TEST(NativeOwners, AGroupBelongsToWhatIsNearestToAnyOfIt) {
  NativeLinks links;
  links.blocks = 1000;
  links.density.assign(links.blocks, 0.5F);
  links.from_object = {{10, 998}, {20, 0}};
  for (std::uint32_t node = 0; node + 3 < links.blocks; ++node) {
    links.from_block.emplace_back(node, node + 1);
    links.from_block.emplace_back(node + 1, node);
  }
  links.from_block.emplace_back(998, 999);  // the parser's context, its stack
  links.from_block.emplace_back(999, 800);
  std::sort(links.from_block.begin(), links.from_block.end());

  std::vector<std::uint32_t> expected(links.blocks, 20);
  expected[998] = expected[999] = 10;
  EXPECT_EQ(owners(links), expected);
}

TEST(NativeOwners, RingsEndAndWhatNothingLeadsToHasNoOwner) {
  NativeLinks links = four_blocks();
  links.from_object = {{10, 0}};
  links.from_block = {{0, 1}, {1, 0}, {2, 3}, {3, 2}};

  EXPECT_EQ(owners(links), (std::vector<std::uint32_t>{10, 10, kNobody, kNobody}));
}

}  // namespace
}  // namespace memsnap
