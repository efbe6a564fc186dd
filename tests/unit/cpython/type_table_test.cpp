#include "snapshot/cpython/type_table.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/unit/cpython/fake_heap.h"

namespace memsnap {
namespace {

class TypeTableTest : public ::testing::TestWithParam<std::uint32_t> {
 protected:
  std::string name_of(const TypeRecord& record) { return std::string(strings.text(table.types().at(record.id).name)); }

  FakeHeap heap{GetParam()};
  StringTable strings;
  TypeTable table{heap, heap.layout, strings};
};

TEST_P(TypeTableTest, NamesAStaticTypeByItsTpName) {
  const auto plain = heap.make_static_type("plain", heap.object, kFlagHaveGc);
  const auto dotted = heap.make_static_type("package.module.Thing", heap.object, kFlagHaveGc);

  EXPECT_EQ(name_of(table.resolve(plain)), "builtins.plain");
  EXPECT_EQ(name_of(table.resolve(dotted)), "package.module.Thing");
  EXPECT_EQ(table.types().size(), 2u);
}

TEST_P(TypeTableTest, NamesAClassByItsModuleAndQualname) {
  const auto made = heap.make_class("shop.cart", "Cart.Entry", heap.object);

  const TypeRecord& record = table.resolve(made);

  EXPECT_EQ(name_of(record), "shop.cart.Cart.Entry");
  EXPECT_EQ(record.kind, TypeKind::kGeneric);
  EXPECT_EQ(record.base_size, 16u);
  EXPECT_EQ(record.flags & (kTypeIsHeap | kTypeHasGc | kTypeExact), kTypeIsHeap | kTypeHasGc);
}

TEST_P(TypeTableTest, AcceptsWhateverACLassIsCalled) {
  const auto made = heap.make_class("\x1b[31m", "evil\n\x1b]0;title\x07", heap.object);

  EXPECT_EQ(name_of(table.resolve(made)), "\x1b[31m.evil\n\x1b]0;title\x07");
}

TEST_P(TypeTableTest, TellsBuiltinKindsFromSubclasses) {
  const auto child = heap.make_class("m", "MyList", heap.list);

  EXPECT_EQ(table.resolve(heap.list).kind, TypeKind::kList);
  EXPECT_NE(table.resolve(heap.list).flags & kTypeExact, 0u);
  EXPECT_EQ(table.resolve(child).kind, TypeKind::kGeneric) << "its flags do not say list";
  heap.put(child + heap.layout.type.tp_flags, kFlagHeapType | kFlagReady | kFlagHaveGc | kFlagList);
  TypeTable fresh(heap, heap.layout, strings);
  EXPECT_EQ(fresh.resolve(child).kind, TypeKind::kList);
  EXPECT_EQ(fresh.resolve(child).flags & kTypeExact, 0u);
  EXPECT_EQ(fresh.resolve(child).base_size, 40u);
}

TEST_P(TypeTableTest, FindsSlotsOfTheClassAndItsBases) {
  const auto base = heap.make_class("m", "Base", heap.object, 32);
  heap.add_members(base, {{"a", 16}, {"b", 24}});
  const auto child = heap.make_class("m", "Child", base, 40);
  heap.add_members(child, {{"c", 32}, {"a", 16}, {"beyond", 40}, {"header", 8}});

  const TypeRecord& record = table.resolve(child);

  ASSERT_EQ(record.member_count, 3u);
  const MemberRecord* members = &table.members()[record.member_begin];
  EXPECT_EQ(strings.text(members[0].name), "c");
  EXPECT_EQ(members[0].offset, 32u);
  EXPECT_EQ(strings.text(members[1].name), "a");
  EXPECT_EQ(strings.text(members[2].name), "b");
}

TEST_P(TypeTableTest, IgnoresMembersThatAreNoObjects) {
  const auto made = heap.make_static_type("m.C", heap.object, kFlagHaveGc, 40);
  heap.add_members(made, {{"number", 16}}, 1);

  EXPECT_EQ(table.resolve(made).member_count, 0u);
}

TEST_P(TypeTableTest, CountsTheFieldsOfAStructSequence) {
  const auto made = heap.make_static_type("os.stat_result", heap.tuple, kFlagTuple | kFlagHaveGc, 24);
  heap.put(made + heap.layout.type.tp_dict, heap.make_dict({{"n_fields", heap.make_integer(19)}}));
  const auto builtin = heap.make_static_type("sys.flags", heap.tuple, kFlagTuple | kFlagHaveGc, 24);
  const std::uint64_t items = heap.layout.sequence.tuple_items;
  heap.add_members(builtin, {{"a", items}, {"b", items + 8}, {"c", items + 16}}, 6);

  EXPECT_EQ(table.resolve(made).kind, TypeKind::kStructSequence);
  EXPECT_EQ(table.resolve(made).extra, 19u);
  EXPECT_EQ(table.resolve(builtin).kind, TypeKind::kStructSequence);
  EXPECT_EQ(table.resolve(builtin).extra, 3u);
  EXPECT_EQ(table.resolve(heap.tuple).kind, TypeKind::kTuple);
}

TEST_P(TypeTableTest, SeesASizeofWrittenInPython) {
  const auto made = heap.make_class("m", "C", heap.object);
  const auto method = heap.make_object(heap.function, 120);
  heap.put(made + heap.layout.type.tp_dict,
           heap.make_dict({{"__module__", heap.make_text("m")}, {"__sizeof__", method}}));
  const auto child = heap.make_class("m", "Child", made);
  heap.put(child + heap.layout.type.tp_mro, heap.make_tuple({child, made, heap.object}));

  EXPECT_NE(table.resolve(made).flags & kTypePythonSizeof, 0u);
  EXPECT_NE(table.resolve(child).flags & kTypePythonSizeof, 0u);
  EXPECT_EQ(table.resolve(heap.make_class("m", "Other", heap.object)).flags & kTypePythonSizeof, 0u);
}

TEST_P(TypeTableTest, ScansOnlyWhatMayHoldReferencesUnseen) {
  const auto unknown = heap.make_static_type("ext.Unknown", heap.object, 0, 48);
  const auto leaf = heap.make_static_type("float", heap.object, 0, 24);
  const auto collected = heap.make_static_type("ext.Collected", heap.object, kFlagHaveGc, 48);

  EXPECT_NE(table.resolve(unknown).flags & kTypeScanWords, 0u);
  EXPECT_EQ(table.resolve(leaf).kind, TypeKind::kLeaf);
  EXPECT_EQ(table.resolve(leaf).flags & kTypeScanWords, 0u);
  EXPECT_EQ(table.resolve(collected).flags & kTypeScanWords, 0u);
  EXPECT_EQ(table.resolve(heap.object).kind, TypeKind::kLeaf);
}

TEST_P(TypeTableTest, AcceptsAStaticTypeThatIsNotReady) {
  const auto made = heap.make_static_type("unready", 0, 0, 48);
  heap.put(made + heap.layout.type.tp_flags, kFlagHaveGc);

  EXPECT_EQ(name_of(table.resolve(made)), "builtins.unready");
}

TEST_P(TypeTableTest, RefusesWhatIsNotAType) {
  const auto bad_size = heap.make_static_type("a", heap.object, 0, 1ull << 40);
  const auto bad_items = heap.make_static_type("b", heap.object, 0);
  heap.put(bad_items + heap.layout.type.tp_itemsize, std::int64_t{-8});
  const auto bad_name = heap.make_static_type("c\x01", heap.object, 0);
  const auto no_metatype = heap.make_static_type("d", heap.object, 0);
  heap.put(no_metatype + heap.layout.object.ob_type, heap.list);
  const auto bad_dict = heap.make_static_type("e", heap.object, 0);
  heap.put(bad_dict + heap.layout.type.tp_dictoffset, std::int64_t{1} << 40);
  const auto bad_qualname = heap.make_class("m", "C", heap.object);
  heap.put(bad_qualname + heap.layout.type.ht_qualname, heap.object);

  for (const std::uint64_t address : {std::uint64_t{0}, std::uint64_t{8}, ~std::uint64_t{0}, ~std::uint64_t{7},
                                      heap.type + 8, heap.list + 4, bad_size, bad_items, bad_name, no_metatype,
                                      bad_dict, bad_qualname, heap.make_text("text"), heap.make_tuple({heap.list})}) {
    const TypeRecord& record = table.resolve(address);
    EXPECT_EQ(record.kind, TypeKind::kNotAType) << std::hex << address;
    EXPECT_EQ(record.address, address);
  }
  EXPECT_TRUE(table.types().empty());
}

TEST_P(TypeTableTest, IsNotCaughtInARing) {
  const auto first = heap.make_class("m", "A", heap.object);
  const auto second = heap.make_class("m", "B", first);
  heap.put(first + heap.layout.type.tp_base, second);
  const auto meta = heap.make_class("m", "M", heap.type);
  heap.put(meta + heap.layout.type.tp_flags, kFlagHeapType | kFlagReady | kFlagType);
  const auto other_meta = heap.make_class("m", "N", heap.type);
  heap.put(other_meta + heap.layout.type.tp_flags, kFlagHeapType | kFlagReady | kFlagType);
  heap.put(meta + heap.layout.object.ob_type, other_meta);
  heap.put(other_meta + heap.layout.object.ob_type, meta);
  const auto made = heap.make_class("m", "C", heap.object);
  heap.put(made + heap.layout.object.ob_type, meta);

  EXPECT_EQ(name_of(table.resolve(first)), "m.A");
  EXPECT_EQ(table.resolve(made).kind, TypeKind::kNotAType);
}

TEST_P(TypeTableTest, ReadsEachTypeOnce) {
  const TypeRecord& first = table.resolve(heap.list);
  const TypeRecord* const kept = &first;
  for (int i = 0; i < 200; ++i) table.resolve(heap.make_class("m", "C" + std::to_string(i), heap.object));

  EXPECT_EQ(&table.resolve(heap.list), kept);
  EXPECT_EQ(table.types().size(), 201u);
  for (std::uint32_t i = 0; i < table.types().size(); ++i) EXPECT_EQ(table.types()[i].record.id, i);
}

// Whatever one word of the memory is changed to, an answer comes and nothing is read that is not there.
TEST_P(TypeTableTest, SurvivesForgedWords) {
  const auto made = heap.make_class("m", "Child", heap.make_class("m", "Base", heap.tuple));
  heap.add_members(made, {{"a", 16}});
  const auto begin = made;
  const auto end = FakeHeap::kBegin + heap.size() - 8;
  for (auto at = begin; at < end; at += 8) {
    const auto saved = heap.read<std::uint64_t>(at);
    for (const std::uint64_t forged :
         {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{1} << 63, made, FakeHeap::kBegin, end,
          std::uint64_t{0x7fffffffffff}, std::uint64_t{0xffffffff}}) {
      heap.put(at, forged);
      StringTable texts;
      TypeTable fresh(heap, heap.layout, texts);
      for (const auto type : {made, heap.list, heap.type}) EXPECT_LE(fresh.resolve(type).member_count, 4096u);
    }
    heap.put(at, saved);
  }
}

INSTANTIATE_TEST_SUITE_P(Releases, TypeTableTest,
                         ::testing::Values(0x030812f0, 0x030912f0, 0x030a0df0, 0x030b07f0, 0x030c01f0, 0x030d00f0,
                                           0x030e0af0, 0x030f02f0));

}  // namespace
}  // namespace memsnap
