#pragma once

#include <cstdint>

#include "inject/protocol/walker_abi.h"
#include "inject/walker/container_scan.h"
#include "inject/walker/scan_context.h"

// What a class adds to its instances: members, values, a dict.
namespace memsnap::walker {

template <class Scan>
void scan_members(const Scan& scan, const TypeRecord& type, std::uint64_t object) {
  for (std::uint32_t i = 0; i < type.member_count; ++i) {
    const MemberRecord member = scan.members[type.member_begin + i];
    const std::uint64_t target = scan.word(object + member.offset);
    if (target != 0) scan.sink.named(target, EdgeKind::kField, member.name);
  }
}

template <class Scan>
void scan_values(const Scan& scan, const TypeRecord& type, std::uint64_t values) {
  if (values == 0 || type.cached_keys == 0) return;
  const DictKeys table = read_keys(scan, type.cached_keys);
  std::uint64_t count = table.count;
  if (scan.layout.instance.form == 13) {
    const std::uint64_t capacity = scan.template value<std::uint8_t>(values + scan.layout.dict.values_capacity);
    if (capacity < count) count = capacity;
  }
  for (std::uint64_t i = 0; i < count && i < kMaxLocals; ++i) {
    const std::uint64_t target = scan.word(values + scan.layout.dict.values_items + 8 * i);
    if (target == 0) continue;
    scan.sink.named(target, EdgeKind::kAttribute, scan.word(table.entries + i * table.entry_size + table.key_offset));
  }
}

template <class Scan>
void scan_managed(const Scan& scan, const TypeRecord& type, std::uint64_t object) {
  const std::uint8_t form = scan.layout.instance.form;
  const std::uint64_t slot = scan.word(object - 24);
  if (form == 11) {
    scan.field(slot, FieldName::kDict);
    return scan_values(scan, type, scan.word(object - 32));
  }
  if (form == 12) {
    if ((slot & 1) != 0) return scan_values(scan, type, slot + 1);
    return scan.field(slot, FieldName::kDict);
  }
  scan.field(slot, FieldName::kDict);
  if ((type.flags & kTypeInlineValues) == 0) return;
  const std::uint64_t values = object + type.basic_size;
  if (scan.template value<std::uint8_t>(values + scan.layout.dict.values_valid) != 0) scan_values(scan, type, values);
}

// The instance's own dict or values, wherever this release keeps them.
template <class Scan>
void scan_instance(const Scan& scan, const TypeRecord& type, std::uint64_t object) {
  if ((type.flags & kTypeManagedDict) != 0) return scan_managed(scan, type, object);
  if (type.dict_offset > 0) {
    if (type.kind != TypeKind::kFunction && type.kind != TypeKind::kModule)
      scan.field(scan.word(object + static_cast<std::uint64_t>(type.dict_offset)), FieldName::kDict);
  } else if (type.dict_offset < -1) {  // counted from the end of a variable-sized object
    std::uint64_t items = scan.word(object + scan.layout.object.ob_size);
    if (items >> 63 != 0) items = 0 - items;
    if (items > kMaxItems) return;
    const std::uint64_t end = (type.basic_size + items * type.item_size + 7) & ~7ull;
    scan.field(scan.word(object + end - static_cast<std::uint64_t>(-static_cast<std::int64_t>(type.dict_offset))),
               FieldName::kDict);
  }
}

// Fields nobody describes: each word that points to something that looks like an object is taken for a reference.
template <class Scan>
void scan_words(const Scan& scan, const TypeRecord& type, std::uint64_t object) {
  scan.sink.unnamed_part();
  const std::uint64_t weak_list = type.weaklist_offset > 0 ? static_cast<std::uint64_t>(type.weaklist_offset) : 0;
  for (std::uint64_t at = 16; at + 8 <= type.basic_size && at < 4096; at += 8) {
    const std::uint64_t target = scan.word(object + at);
    if (target != 0 && at != weak_list && scan.sink.is_plausible(target)) scan.sink.guessed(target, at);
  }
}

}  // namespace memsnap::walker
