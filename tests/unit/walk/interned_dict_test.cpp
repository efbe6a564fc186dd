#include "snapshot/walk/interned_dict.h"

#include <gtest/gtest.h>

#include "tests/unit/cpython/fake_heap.h"
#include "tests/unit/walk/hostile_memory.h"

namespace memsnap {
namespace {

// The image's .data is a stretch of the arena that begins with PyDict_Type.
class InternedDictTest : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  InternedDictTest() {
    python.version = PyVersion(GetParam());
    python.layout = heap.layout;
    python.types["PyDict_Type"] = heap.dict;
    data = heap.allocate(4096);
  }
  // Every key its own value, but for the last one when `same` is false.
  std::uint64_t make_strings(std::uint64_t count, bool same = true) {
    const auto& form = heap.layout.dict;
    const bool old = form.keys_form == 0;
    const auto keys = heap.allocate(form.keys_header + 2048 + 24 * count);
    heap.put(keys + form.dk_refcnt, std::uint64_t{1});
    heap.put(keys + form.dk_nentries, count);
    if (old) {
      heap.put(keys + form.dk_size, std::uint64_t{1024});
    } else {
      heap.put(keys + form.dk_size, std::uint8_t{10});
      heap.put(keys + form.dk_log2_index_bytes, std::uint8_t{11});
      heap.put(keys + form.dk_kind, std::uint8_t{1});
    }
    for (std::uint64_t i = 0; i < count; ++i) {
      const auto entry = keys + form.keys_header + 2048 + i * (old ? 24 : 16) + (old ? 8 : 0);
      const auto key = heap.make_text("x");
      heap.put(entry, key);
      heap.put(entry + 8, same || i + 1 < count ? key : heap.list);
    }
    const auto dict = heap.make_object(heap.dict, 48);
    heap.put(dict + form.ma_keys, keys);
    return dict;
  }
  std::uint64_t find(std::uint64_t image_begin = FakeArena::kBegin, std::uint64_t image_end = 0) {
    const auto end = (FakeArena::kBegin + heap.size() + 4095) / 4096 * 4096;
    const Mapping image{.begin = image_begin,
                        .end = image_end != 0 ? image_end : end,
                        .readable = true,
                        .writable = true,
                        .name = "/usr/bin/python3"};
    return find_interned(memory, MemoryMap({image}), python);
  }

  FakeHeap heap{GetParam()};
  HostileMemory memory{heap};
  PythonProcess python;
  std::uint64_t data = 0;
};

TEST_P(InternedDictTest, IsTheDictWhoseKeysAreTheirOwnValues) {
  heap.put(data + 8, heap.make_dict({{"a", heap.list}}));
  heap.put(data + 16, make_strings(600, false));
  heap.put(data + 24, make_strings(20));
  const auto interned = make_strings(600);
  heap.put(data + 32, interned);

  EXPECT_EQ(find(), interned);
  python.types.clear();
  EXPECT_EQ(find(), 0u);
}

TEST_P(InternedDictTest, ForgedDictsAreNone) {
  const auto forged = make_strings(600);
  heap.put(data + 8, forged);
  const auto& form = heap.layout.dict;
  const auto keys = heap.read<std::uint64_t>(forged + form.ma_keys);
  ASSERT_EQ(find(), forged);
  for (const std::uint64_t count :
       {std::uint64_t{0}, std::uint64_t{1} << 31, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
    heap.put(keys + form.dk_nentries, count);
    EXPECT_EQ(find(), 0u) << count;
  }
  heap.put(keys + form.dk_nentries, std::uint64_t{600});
  for (const std::uint64_t wild :
       {std::uint64_t{0}, std::uint64_t{8}, forged, ~std::uint64_t{7}, keys + HostileMemory::kPage}) {
    heap.put(forged + form.ma_keys, wild);
    EXPECT_EQ(find(), 0u) << std::hex << wild;
  }
}

TEST_P(InternedDictTest, ATornPageOfTheEntriesIsNotSkipped) {
  const auto forged = make_strings(600);
  heap.put(data + 8, forged);
  const auto keys = heap.read<std::uint64_t>(forged + heap.layout.dict.ma_keys);
  memory.tear(keys + heap.layout.dict.keys_header + 2048 + 2 * HostileMemory::kPage);

  EXPECT_EQ(find(), 0u);
}

TEST_P(InternedDictTest, AnImageOfTerabytesIsSearchedAroundTheTypeOnly) {
  heap.put(data + 8, make_strings(600, false));

  EXPECT_EQ(find(4096, std::uint64_t{1} << 46), 0u);
  EXPECT_LT(memory.reads(), 100'000u);
}

INSTANTIATE_TEST_SUITE_P(Releases, InternedDictTest, ::testing::Values(0x030812f0, 0x030912f0, 0x030a0df0, 0x030b07f0));

}  // namespace
}  // namespace memsnap
