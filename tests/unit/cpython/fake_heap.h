#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "snapshot/cpython/object_reader.h"
#include "snapshot/cpython/py_layout.h"
#include "tests/unit/cpython/fake_arena.h"

namespace memsnap {

// CPython objects of one release that exist only in the test.
class FakeHeap final : public FakeArena {
 public:
  explicit FakeHeap(std::uint32_t version) : layout(layout_for(version)) {
    type = allocate(layout.type.heap_size);
    object = make_static_type("object", 0, 0);
    fill_type(type, "type", object, kFlagType | kFlagHaveGc);
    put(type + layout.type.tp_basicsize, std::uint64_t{layout.type.heap_size});
    put(type + layout.type.tp_itemsize, std::uint64_t{40});
    tuple = make_static_type("tuple", object, kFlagTuple | kFlagHaveGc, layout.sequence.tuple_items);
    put(tuple + layout.type.tp_itemsize, std::uint64_t{8});
    text = make_static_type("str", object, kFlagUnicode, layout.text.full_size);
    integer = make_static_type("int", object, kFlagLong, layout.integer.digits);
    list = make_static_type("list", object, kFlagList | kFlagHaveGc, 40);
    dict = make_static_type("dict", object, kFlagDict | kFlagHaveGc, 48);
    function = make_static_type("function", object, kFlagHaveGc, 120);
  }

  std::uint64_t make_object(std::uint64_t of_type, std::size_t size) {
    const auto at = allocate(size);
    put(at + layout.object.ob_refcnt, std::uint64_t{1});
    put(at + layout.object.ob_type, of_type);
    return at;
  }
  std::uint64_t make_text(std::string_view ascii) {
    const auto at = make_object(text, layout.text.ascii_size + ascii.size() + 1);
    put(at + layout.text.length, std::uint64_t{ascii.size()});
    put(at + layout.text.state,
        1u << layout.text.kind_shift | 1u << layout.text.compact_shift | 1u << layout.text.ascii_shift);
    put_bytes(at + layout.text.ascii_size, ascii);
    return at;
  }
  std::uint64_t make_integer(std::uint32_t value) {
    const auto at = make_object(integer, layout.integer.digits + 4);
    put(at + layout.integer.tag, std::uint64_t{1} << layout.integer.tag_shift);
    put(at + layout.integer.digits, value);
    return at;
  }
  std::uint64_t make_tuple(const std::vector<std::uint64_t>& items) {
    const auto at = make_object(tuple, layout.sequence.tuple_items + 8 * items.size());
    put(at + layout.object.ob_size, std::uint64_t{items.size()});
    for (std::size_t i = 0; i < items.size(); ++i) put(at + layout.sequence.tuple_items + 8 * i, items[i]);
    return at;
  }
  // At most five entries, with keys that are all str.
  std::uint64_t make_dict(const std::vector<std::pair<std::string_view, std::uint64_t>>& entries) {
    const auto keys = allocate(layout.dict.keys_header + 8 + 5 * 24);
    const bool old = layout.dict.keys_form == 0;
    put(keys + layout.dict.dk_refcnt, std::uint64_t{1});
    put(keys + layout.dict.dk_nentries, std::uint64_t{entries.size()});
    if (old) {
      put(keys + layout.dict.dk_size, std::uint64_t{8});
    } else {
      put(keys + layout.dict.dk_size, std::uint8_t{3});
      put(keys + layout.dict.dk_log2_index_bytes, std::uint8_t{3});
      put(keys + layout.dict.dk_kind, std::uint8_t{1});
    }
    auto entry = keys + layout.dict.keys_header + 8;
    for (const auto& [key, value] : entries) {
      const auto name = make_text(key);
      put(entry + (old ? 8 : 0), name);
      put(entry + (old ? 16 : 8), value);
      entry += old ? 24 : 16;
    }
    const auto at = make_object(dict, 48);
    put(at + layout.dict.ma_used, std::uint64_t{entries.size()});
    put(at + layout.dict.ma_keys, keys);
    return at;
  }

  std::uint64_t make_static_type(std::string_view name, std::uint64_t base, std::uint64_t flags,
                                 std::uint64_t size = 16) {
    const auto at = allocate(layout.type.size);
    fill_type(at, name, base, flags);
    put(at + layout.type.tp_basicsize, size);
    return at;
  }
  // What a class statement makes.
  std::uint64_t make_class(std::string_view module, std::string_view name, std::uint64_t base,
                           std::uint64_t size = 32) {
    const auto at = allocate(layout.type.heap_size);
    fill_type(at, "", base, kFlagHeapType | kFlagHaveGc);
    const auto name_object = make_text(name);
    put(at + layout.type.tp_name, name_object + layout.text.ascii_size);
    put(at + layout.type.ht_name, name_object);
    put(at + layout.type.ht_qualname, name_object);
    put(at + layout.type.tp_basicsize, size);
    put(at + layout.type.tp_dict, make_dict({{"__module__", make_text(module)}}));
    put(at + layout.type.tp_mro, make_tuple({at, base}));
    return at;
  }
  // Members of type `kind`, PyMemberDef::type.
  void add_members(std::uint64_t to, const std::vector<std::pair<std::string_view, std::uint64_t>>& members,
                   int kind = 16) {
    const auto table = allocate(40 * (members.size() + 1));
    put(to + layout.type.tp_members, table);
    for (std::size_t i = 0; i < members.size(); ++i) {
      const auto name = make_c_string(members[i].first);
      put(table + 40 * i, name);
      put(table + 40 * i + 8, kind);
      put(table + 40 * i + 16, members[i].second);
    }
  }

  const HeapLayout& layout;
  std::uint64_t type = 0, object = 0, tuple = 0, text = 0, integer = 0, list = 0, dict = 0, function = 0;

 private:
  void fill_type(std::uint64_t at, std::string_view name, std::uint64_t base, std::uint64_t flags) {
    const auto name_at = make_c_string(name);
    put(at + layout.object.ob_refcnt, std::uint64_t{1});
    put(at + layout.object.ob_type, type);
    put(at + layout.type.tp_name, name_at);
    put(at + layout.type.tp_base, base);
    put(at + layout.type.tp_flags, flags | kFlagReady);
  }
};

}  // namespace memsnap
