#include "attach/memory_map.h"

#include <gtest/gtest.h>

namespace memsnap {
namespace {

TEST(MemoryMap, KeepsNamesAsTheKernelPrintsThem) {
  const MemoryMap map = MemoryMap::parse(
      "7f0000000000-7f0000001000 rw-s 00002000 fd:01 77                 /tmp/a b\\012c (deleted)\n"
      "555500000000-555500001000 r-xp 00000000 00:00 0 \n");
  ASSERT_EQ(map.mappings().size(), 2u);
  EXPECT_EQ(map.mappings()[0].name, "");
  const Mapping& last = map.mappings()[1];
  EXPECT_EQ(last.name, "/tmp/a b\\012c (deleted)");
  EXPECT_EQ(last.device, 0xfdull << 32 | 1);
  EXPECT_EQ(last.inode, 77u);
  EXPECT_EQ(last.offset, 0x2000u);
  EXPECT_TRUE(last.readable && last.writable && last.shared);
  EXPECT_FALSE(last.executable);
}

TEST(MemoryMap, FindsByAddressWithHalfOpenRanges) {
  const MemoryMap map = MemoryMap::parse("1000-2000 r--p 0 0:0 0\n3000-4000 r--p 0 0:0 0\n");
  EXPECT_EQ(map.find(0xfff), nullptr);
  EXPECT_EQ(map.find(0x2000), nullptr);
  ASSERT_NE(map.find(0x3fff), nullptr);
  EXPECT_EQ(map.find(0x3fff)->begin, 0x3000u);
  EXPECT_EQ(map.find(~0ull), nullptr);
  EXPECT_EQ(MemoryMap::parse("").find(0), nullptr);
}

TEST(MemoryMap, SkipsLinesItCannotRead) {
  constexpr std::string_view kLine = "1000-2000 r--p 00000000 08:01 5 /x";
  for (std::size_t size = 0; size < kLine.size() - 4; ++size) {
    EXPECT_TRUE(MemoryMap::parse(kLine.substr(0, size)).mappings().empty()) << size;
  }
  EXPECT_TRUE(MemoryMap::parse("2000-1000 r--p 0 0:0 0\n").mappings().empty());
  EXPECT_TRUE(MemoryMap::parse("fffffffffffffffff-1 r--p 0 0:0 0\n\n\xff\n").mappings().empty());
  EXPECT_EQ(MemoryMap::parse("rubbish\n1000-2000 r--p 0 0:0 0").mappings().size(), 1u);
}

}  // namespace
}  // namespace memsnap
