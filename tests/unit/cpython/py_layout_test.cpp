#include "snapshot/cpython/py_layout.h"

#include <gtest/gtest.h>

#include <string>

#include "attach/base/error.h"

namespace memsnap {
namespace {

TEST(PyLayout, APatchReleaseUsesTheTableOfItsMinorVersion) {
  EXPECT_EQ(layout_for(0x030b02f0).since, 0x030b0000u);
  EXPECT_EQ(layout_for(0x030812f0).since, 0x03080000u);
  EXPECT_EQ(layout_for(0x030f00c1).since, 0x030f0000u);
}

TEST(PyLayout, ReleasesWithoutATableAreRefusedByTheirNumber) {
  for (const auto& [hex, name] : {std::pair{0x030712f0u, "3.7"}, {0x02070fe0u, "2.7"}, {0x031000a0u, "3.16"}}) {
    try {
      layout_for(hex);
      FAIL() << name;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::kUnsupported);
      EXPECT_EQ(std::string(error.what()), std::string("CPython ") + name + " is not supported");
      EXPECT_FALSE(error.hint().empty());
    }
  }
}

TEST(PyLayout, EveryTableIsWhole) {
  for (const HeapLayout& layout : all_layouts()) {
    EXPECT_EQ(layout.object.ob_type, 8) << std::hex << layout.since;
    EXPECT_EQ(layout.type.tp_flags, 168) << std::hex << layout.since;
    EXPECT_EQ(layout.text.kind_shift, 2) << std::hex << layout.since;
    EXPECT_EQ(layout.frame.size != 0, layout.since >= 0x030b0000u) << std::hex << layout.since;
    EXPECT_EQ(layout.runtime.gc != 0, layout.since < 0x03090000u) << std::hex << layout.since;
    EXPECT_EQ(layout.interpreter.gc != 0, layout.since >= 0x03090000u) << std::hex << layout.since;
  }
}

// Measured apart from the tables, with other programs.
TEST(PyLayout, SizesAreThoseSeenInTheReleases) {
  const std::uint16_t type_sizes[] = {416, 408, 408, 408, 416, 416, 416, 424};
  const std::uint16_t heap_type_sizes[] = {880, 880, 888, 904, 920, 928, 936, 944};
  const std::uint16_t text_sizes[] = {48, 48, 48, 48, 40, 40, 40, 40};
  const std::uint32_t first_lists[] = {0, 640, 640, 672, 136, 7424, 7432, 7408};
  ASSERT_EQ(all_layouts().size(), std::size(type_sizes));
  for (std::size_t i = 0; i < std::size(type_sizes); ++i) {
    const HeapLayout& layout = all_layouts()[i];
    EXPECT_EQ(layout.type.size, type_sizes[i]) << i;
    EXPECT_EQ(layout.type.heap_size, heap_type_sizes[i]) << i;
    EXPECT_EQ(layout.text.ascii_size, text_sizes[i]) << i;
    if (i == 0) continue;  // 3.8: one collector for all interpreters
    EXPECT_EQ(layout.interpreter.gc + layout.interpreter.gc_generations, first_lists[i]) << i;
  }
  EXPECT_EQ(all_layouts()[0].runtime.gc + all_layouts()[0].interpreter.gc_generations, 368u);
}

}  // namespace
}  // namespace memsnap
