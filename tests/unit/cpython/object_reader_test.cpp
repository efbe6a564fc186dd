#include "snapshot/cpython/object_reader.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/cpython/fake_heap.h"

namespace memsnap {
namespace {

class ObjectReaderTest : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  FakeHeap heap{GetParam()};
  ObjectReader reader{heap, heap.layout};
};

TEST_P(ObjectReaderTest, ReadsTextInItsThreeWidths) {
  const auto ascii = heap.make_text("hello");
  const auto wide = heap.make_object(heap.text, heap.layout.text.compact_size + 16);
  heap.put(wide + heap.layout.text.length, std::uint64_t{3});
  heap.put(wide + heap.layout.text.state, 4u << heap.layout.text.kind_shift | 1u << heap.layout.text.compact_shift);
  heap.put(wide + heap.layout.text.compact_size, std::uint32_t{0x1f600});
  heap.put(wide + heap.layout.text.compact_size + 4, std::uint32_t{0xd800});
  heap.put(wide + heap.layout.text.compact_size + 8, std::uint32_t{0xe9});

  EXPECT_EQ(reader.text(ascii), "hello");
  EXPECT_EQ(reader.text(ascii, 2), "he");
  EXPECT_EQ(reader.text(wide), "\U0001f600\ufffd\u00e9");
  EXPECT_EQ(reader.text(heap.make_integer(5)), std::nullopt);
}

TEST_P(ObjectReaderTest, ForgedLengthsCostNothing) {
  const auto text = heap.make_text("hello");
  heap.put(text + heap.layout.text.length, std::uint64_t{1} << 60);
  const auto tuple = heap.make_tuple({heap.list});
  heap.put(tuple + heap.layout.object.ob_size, std::uint64_t{1} << 60);

  EXPECT_EQ(reader.text(text, 1u << 20), std::nullopt);
  EXPECT_LE(reader.items(tuple).size(), heap.size());
  heap.put(tuple + heap.layout.object.ob_size, ~std::uint64_t{0});
  EXPECT_TRUE(reader.items(tuple).empty());
}

TEST_P(ObjectReaderTest, ReadsSmallIntegers) {
  EXPECT_EQ(reader.integer(heap.make_integer(19)), 19);
  const auto negative = heap.make_integer(7);
  const bool tagged = heap.layout.integer.tag_shift != 0;
  heap.put(negative + heap.layout.integer.tag, tagged ? std::int64_t{1} << 3 | 2 : std::int64_t{-1});
  EXPECT_EQ(reader.integer(negative), -7);
  const auto huge = heap.make_integer(1);
  heap.put(huge + heap.layout.integer.tag, std::int64_t{1000} << heap.layout.integer.tag_shift);
  EXPECT_EQ(reader.integer(huge), std::nullopt);
  EXPECT_EQ(reader.integer(heap.list), std::nullopt);
}

TEST_P(ObjectReaderTest, FindsDictValuesByKey) {
  const auto value = heap.make_integer(1);
  const auto dict = heap.make_dict({{"a", heap.list}, {"key", value}, {"deleted", 0}});

  EXPECT_EQ(reader.find(dict, "key"), value);
  EXPECT_EQ(reader.find(dict, "deleted"), std::nullopt);
  EXPECT_EQ(reader.find(dict, "ke"), std::nullopt);
  EXPECT_EQ(reader.find(heap.list, "key"), std::nullopt);
}

TEST_P(ObjectReaderTest, ReadsTheValuesOfASplitDict) {
  const auto dict = heap.make_dict({{"a", 0}, {"b", 0}});
  const auto values = heap.allocate(heap.layout.dict.values_items + 16);
  heap.put(values + heap.layout.dict.values_items + 8, heap.list);
  heap.put(dict + heap.layout.dict.ma_values, values);

  EXPECT_EQ(reader.find(dict, "b"), heap.list);
  EXPECT_EQ(reader.find(dict, "a"), std::nullopt);
}

TEST_P(ObjectReaderTest, StopsAtForgedDicts) {
  const auto dict = heap.make_dict({{"a", heap.list}});
  const auto keys = heap.read<std::uint64_t>(dict + heap.layout.dict.ma_keys);
  heap.put(keys + heap.layout.dict.dk_nentries, std::uint64_t{1} << 50);
  EXPECT_FALSE(reader.for_each_entry(dict, [](auto, auto) { return true; }));
  heap.put(keys + heap.layout.dict.dk_nentries, std::uint64_t{1});
  heap.put(keys + heap.layout.dict.dk_size, ~std::uint64_t{0});
  EXPECT_FALSE(reader.for_each_entry(dict, [](auto, auto) { return true; }));
  heap.put(dict + heap.layout.dict.ma_keys, std::uint64_t{8});
  EXPECT_FALSE(reader.for_each_entry(dict, [](auto, auto) { return true; }));
}

INSTANTIATE_TEST_SUITE_P(Releases, ObjectReaderTest, ::testing::Values(0x030812f0, 0x030b07f0, 0x030c01f0, 0x030e0af0));

}  // namespace
}  // namespace memsnap
