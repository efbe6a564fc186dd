#include "snapshot/walk/address_index.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

namespace memsnap {
namespace {

TEST(AddressIndex, NumbersAddressesInTheirOrder) {
  std::mt19937_64 random(7);
  std::set<std::uint64_t> reference;
  AddressIndex index;
  for (int i = 0; i < 20000; ++i) {
    // Some close together, some all over the address space.
    const std::uint64_t wide = (random() & ((1ull << 47) - 1)) & ~15ull;
    const std::uint64_t address = i % 20 != 0 ? 0x7f0000000000 + (random() % 100000) * 16 : wide;
    EXPECT_EQ(index.insert(address), reference.insert(address).second);
  }
  index.finish();

  NodeIndex expected = 0;
  for (const std::uint64_t address : reference) EXPECT_EQ(index.find(address), expected++);
}

TEST(AddressIndex, DoesNotFindWhatIsNotThere) {
  AddressIndex index;
  index.insert(0x7f0000001000);
  index.finish();

  EXPECT_TRUE(index.contains(0x7f0000001000));
  EXPECT_FALSE(index.contains(0x7f0000001010));
  EXPECT_EQ(index.find(0x7f0000001010), kNoNode);
  EXPECT_EQ(index.find(0x10), kNoNode);
  EXPECT_EQ(index.find(~0ull), kNoNode);
}

TEST(AddressIndex, RefusesWhatNoProcessCanMap) {
  AddressIndex index;
  EXPECT_FALSE(index.insert(1ull << 47));
  EXPECT_FALSE(index.insert(~0ull));
}

}  // namespace
}  // namespace memsnap
