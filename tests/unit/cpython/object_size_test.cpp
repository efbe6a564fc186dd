#include "inject/walker/object_size.h"

#include <gtest/gtest.h>

#include <random>

#include "tests/unit/cpython/fake_heap.h"

namespace memsnap::walker {
namespace {

struct Memory {
  const ProcessMemory& memory;
  template <class T>
  bool read(std::uint64_t address, T* out) const {
    const auto value = memory.try_read<T>(address);
    if (value) *out = *value;
    return value.has_value();
  }
};

TypeRecord record_of(TypeKind kind, std::uint32_t basic_size, std::uint32_t item_size = 0) {
  TypeRecord record{};
  record.kind = kind;
  record.basic_size = basic_size;
  record.base_size = basic_size;
  record.item_size = item_size;
  return record;
}

TEST(SizeSum, NeitherWrapsNorPassesReason) {
  std::uint64_t size = 7;
  SizeSum sum(40);
  sum.add(3, 8);
  sum.add_signed(-5, 8);
  EXPECT_TRUE(sum.store(&size));
  EXPECT_EQ(size, 64u);
  sum.add(~0ull, ~0ull);
  sum.add(~0ull);
  sum.add(1);
  EXPECT_FALSE(sum.store(&size));
  EXPECT_EQ(size, 64u);
  SizeSum large(kMaxObjectSize);
  EXPECT_TRUE(large.store(&size));
  large.add(1);
  large.round_up(8);
  EXPECT_FALSE(large.store(&size));
}

class ObjectSizeTest : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  std::optional<std::uint64_t> size_of(const TypeRecord& type, std::uint64_t object) {
    std::uint64_t size = 0;
    if (!object_size(Memory{heap}, heap.layout, type, object, &size)) return std::nullopt;
    return size;
  }

  FakeHeap heap{GetParam()};
};

TEST_P(ObjectSizeTest, CountsDigitsAndCharacters) {
  EXPECT_EQ(size_of(record_of(TypeKind::kInteger, 24, 4), heap.make_integer(5)), 28u);
  EXPECT_EQ(size_of(record_of(TypeKind::kText, heap.layout.text.full_size), heap.make_text("abc")),
            heap.layout.text.ascii_size + 4u);
}

TEST_P(ObjectSizeTest, AddsTheGcHeadAndWhatLiesBeforeIt) {
  TypeRecord type = record_of(TypeKind::kGeneric, 32);
  const auto object = heap.make_object(heap.object, 32);

  EXPECT_EQ(size_of(type, object), 32u);
  type.flags = kTypeHasGc;
  EXPECT_EQ(size_of(type, object), 48u);
  type.flags = kTypeHasGc | kTypeManagedDict;
  EXPECT_EQ(size_of(type, object), 48u + 8u * heap.layout.instance.pre_header_words);
}

TEST_P(ObjectSizeTest, CountsADictsKeysUnlessTheyAreShared) {
  const auto dict = heap.make_dict({{"a", heap.list}});
  const auto keys = heap.read<std::uint64_t>(dict + heap.layout.dict.ma_keys);
  const TypeRecord type = record_of(TypeKind::kDict, 48);
  const std::uint64_t entry = heap.layout.dict.keys_form == 0 ? 24 : 16;

  EXPECT_EQ(size_of(type, dict), 48 + heap.layout.dict.keys_header + 8 + 5 * entry);
  heap.put(keys + heap.layout.dict.dk_refcnt, std::uint64_t{2});
  EXPECT_EQ(size_of(type, dict), 48u);
}

TEST_P(ObjectSizeTest, IsNotMadeAbsurdByForgedLengths) {
  const auto list = heap.make_object(heap.list, 40);
  heap.put(list + heap.layout.sequence.list_allocated, std::int64_t{1} << 60);
  EXPECT_EQ(size_of(record_of(TypeKind::kList, 40), list), std::nullopt);
  heap.put(list + heap.layout.sequence.list_allocated, std::int64_t{-1});
  EXPECT_EQ(size_of(record_of(TypeKind::kList, 40), list), 40u);
  const auto text = heap.make_text("abc");
  heap.put(text + heap.layout.text.length, ~std::uint64_t{0});
  EXPECT_EQ(size_of(record_of(TypeKind::kText, 80), text), std::nullopt);
  EXPECT_EQ(size_of(record_of(TypeKind::kText, 80), 8), std::nullopt);
}

// Every kind, over memory that holds anything: an answer within reason or none.
TEST_P(ObjectSizeTest, SurvivesAnyMemory) {
  std::mt19937_64 random(GetParam());
  const auto at = heap.allocate(1u << 16);
  const auto anything = [&]() -> std::uint64_t {
    switch (random() % 6) {
      case 0:
        return random();
      case 1:
        return 0;
      case 2:
        return ~0ull >> random() % 64;
      case 3:
        return random() % 300;
      default:
        return at + random() % (1u << 16) / 8 * 8;
    }
  };
  for (int round = 0; round < 20; ++round) {
    for (std::uint64_t i = 0; i < 1u << 16; i += 8) heap.put(at + i, anything());
    for (unsigned kind = 0; kind <= static_cast<unsigned>(TypeKind::kSimpleQueue); ++kind) {
      TypeRecord type = record_of(static_cast<TypeKind>(kind), static_cast<std::uint32_t>(random()) >> random() % 32,
                                  static_cast<std::uint32_t>(random()) >> random() % 32);
      type.flags = static_cast<std::uint32_t>(random());
      type.base_size = random() % 2 == 0 ? 272 : type.basic_size;
      type.extra = random() % 2 == 0 ? 0 : static_cast<std::uint32_t>(random()) >> random() % 32;
      for (int i = 0; i < 50; ++i) {
        const auto size = size_of(type, at + random() % (1u << 16) / 8 * 8);
        EXPECT_LE(size.value_or(0), kMaxObjectSize);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Releases, ObjectSizeTest,
                         ::testing::Values(0x030812f0, 0x030912f0, 0x030a0df0, 0x030b07f0, 0x030c01f0, 0x030d00f0,
                                           0x030e0af0, 0x030f02f0));

}  // namespace
}  // namespace memsnap::walker
