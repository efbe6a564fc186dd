#include <algorithm>
#include <cstring>
#include <limits>

#include "snapshot/cpython/type_kinds.h"
#include "snapshot/cpython/type_table.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kFlagInlineValues = 1ull << 2;  // 3.13+
constexpr std::uint64_t kFlagManagedWeak = 1ull << 3;   // 3.12+
constexpr std::uint64_t kFlagManagedDict = 1ull << 4;   // 3.11+
constexpr std::size_t kMaxMembers = 4096;
constexpr std::int64_t kObjectSize = 16;

// PyMemberDef: {char* name; int type; Py_ssize_t offset; int flags; char* doc}.
struct MemberDef {
  std::uint64_t name;
  std::int32_t type;
  std::int32_t padding;
  std::int64_t offset;
  std::int32_t flags;
  std::int32_t more_padding;
  std::uint64_t doc;
};
static_assert(sizeof(MemberDef) == 40);
constexpr std::int32_t kMemberObject = 6;
constexpr std::int32_t kMemberObjectEx = 16;
constexpr std::int32_t kMemberRelative = 8;

}  // namespace

TypeRecord TypeTable::describe(const std::vector<RawType>& chain) {
  const RawType& raw = chain.front();
  TypeRecord record{};
  record.address = raw.address;
  record.traverse = raw.traverse;
  record.is_gc = raw.is_gc;
  record.cached_keys = raw.cached_keys;
  record.basic_size = static_cast<std::uint32_t>(raw.basic_size);
  record.item_size = static_cast<std::uint32_t>(raw.item_size);
  record.dict_offset = static_cast<std::int32_t>(raw.dict_offset);
  record.weaklist_offset = static_cast<std::int32_t>(raw.weaklist_offset);
  record.flags = flags_of(raw);
  set_kind(chain, record);
  if (raw.by_class_statement && has_python_sizeof(raw)) record.flags |= kTypePythonSizeof;
  add_members(chain, record);
  return record;
}

std::uint32_t TypeTable::flags_of(const RawType& raw) const {
  std::uint32_t flags = 0;
  if ((raw.flags & kFlagHaveGc) != 0) flags |= kTypeHasGc;
  if ((raw.flags & kFlagHeapType) != 0) flags |= kTypeIsHeap;
  if ((raw.flags & kFlagType) != 0) flags |= kTypeIsMetatype;
  const auto form = layout_.instance.form;
  if (form >= 11 && (raw.flags & kFlagManagedDict) != 0) flags |= kTypeManagedDict;
  if (form >= 12 && (raw.flags & kFlagManagedWeak) != 0) flags |= kTypeManagedWeak;
  if (form >= 13 && (raw.flags & kFlagInlineValues) != 0) flags |= kTypeInlineValues;
  return flags;
}

void TypeTable::set_kind(const std::vector<RawType>& chain, TypeRecord& record) {
  const auto native = std::ranges::find_if(chain, [](const RawType& type) { return !type.by_class_statement; });
  record.base_size = static_cast<std::uint32_t>(native == chain.end() ? kObjectSize : native->basic_size);
  record.kind = kind_of_flags(chain.front().flags);
  bool named = false;
  for (auto base = native; base != chain.end() && !named; ++base) {
    const auto name = full_name(*base).value_or("");
    if (name == "builtins.StgDict") record.extra = 1;
    if (name == "_ctypes.CType_Type" && base + 1 != chain.end()) {
      record.extra = static_cast<std::uint32_t>((base + 1)->basic_size + 15) & ~15u;
    }
    if (const auto bytes = numpy_scalar_bytes(name)) record.extra = bytes;
    const auto kind = kind_of_known_type(name);
    if (!kind) continue;
    record.kind = *kind;
    named = true;
    if (base == chain.begin()) record.flags |= kTypeExact;
  }
  const bool outside_collector = (record.flags & kTypeHasGc) == 0;
  // A subclass of a leaf type may have a dict and slots.
  if (record.kind == TypeKind::kLeaf && !outside_collector) record.kind = TypeKind::kGeneric;
  if (!named && native == chain.begin() && chain.size() <= 2) record.flags |= kTypeExact;
  if (record.kind == TypeKind::kTuple) {
    if (const auto count = struct_sequence_fields(chain)) {
      record.kind = TypeKind::kStructSequence;
      record.extra = *count;
    }
  }
  if (!outside_collector) return;
  if (record.kind == TypeKind::kGeneric && record.base_size <= kObjectSize) record.kind = TypeKind::kLeaf;
  if (record.kind == TypeKind::kGeneric || record.kind == TypeKind::kStruct || record.kind == TypeKind::kPattern ||
      record.kind == TypeKind::kMatch) {
    record.flags |= kTypeScanWords;
  }
}

bool TypeTable::has_python_sizeof(const RawType& raw) {
  for (const auto address : reader_.items(raw.mro, 1024)) {
    const auto type = read_raw(address);
    if (!type) return false;
    if (!type->by_class_statement) {
      // C types with a __sizeof__ of their own have a kind of their own.
      const auto kind = kind_of_known_type(full_name(*type).value_or(""));
      if (kind || kind_of_flags(type->flags) != TypeKind::kGeneric) return false;
      continue;
    }
    const auto method = facts(*type).sizeof_method;
    if (method == 0) continue;
    const auto method_type = reader_.type_of(method);
    const auto method_raw = method_type ? read_raw(*method_type) : std::nullopt;
    if (!method_raw) return false;
    const auto name = full_name(*method_raw).value_or("");
    return name != "builtins.method_descriptor" && name != "builtins.builtin_function_or_method";
  }
  return false;
}

// Number of items of a C struct sequence such as os.stat_result, those hidden from iteration too.
std::optional<std::uint32_t> TypeTable::struct_sequence_fields(const std::vector<RawType>& chain) {
  constexpr std::uint32_t kMaxFields = 1024;
  const RawType& raw = chain.front();
  if (raw.by_class_statement || chain.size() < 3 || full_name(chain[1]) != "builtins.tuple") return std::nullopt;
  if (const auto count = facts(raw).field_count) {
    if (*count < 0 || *count > kMaxFields) return std::nullopt;
    return static_cast<std::uint32_t>(*count);
  }
  if (raw.dict != 0) return std::nullopt;
  // The dict of a builtin one is in the interpreter (3.12+). Its members name the items, the last one for certain.
  std::int64_t last = -1;
  for (std::uint32_t i = 0; i < kMaxFields; ++i) {
    const auto member = memory_.try_read<MemberDef>(raw.members + sizeof(MemberDef) * i);
    if (!member || member->name == 0) break;
    last = std::max(last, (member->offset - layout_.sequence.tuple_items) / 8);
  }
  if (last < 0 || last >= kMaxFields) return std::nullopt;
  return static_cast<std::uint32_t>(last + 1);
}

void TypeTable::add_members(const std::vector<RawType>& chain, TypeRecord& record) {
  record.member_begin = static_cast<std::uint32_t>(members_.size());
  if (members_.size() > std::numeric_limits<std::uint32_t>::max() - kMaxMembers) return;
  for (const RawType& type : chain) {
    if (!type.by_class_statement && (has_known_fields(record.kind) || record.kind == TypeKind::kStructSequence)) break;
    add_members_of(type, record.basic_size, record);
  }
}

void TypeTable::add_members_of(const RawType& raw, std::uint32_t instance_size, TypeRecord& record) {
  if (raw.members == 0) return;
  for (std::size_t i = 0; record.member_count < kMaxMembers && i < kMaxMembers; ++i) {
    const auto member = memory_.try_read<MemberDef>(raw.members + sizeof(MemberDef) * i);
    if (!member || member->name == 0) return;
    if (member->type != kMemberObject && member->type != kMemberObjectEx) continue;
    if ((member->flags & kMemberRelative) != 0 || member->offset < kObjectSize || member->offset % 8 != 0) continue;
    if (member->offset + 8 > static_cast<std::int64_t>(instance_size)) continue;
    const auto offset = static_cast<std::uint32_t>(member->offset);
    const auto own = std::span(members_).subspan(record.member_begin);
    if (std::ranges::any_of(own, [&](const MemberRecord& other) { return other.offset == offset; })) continue;
    const auto name = memory_.try_read_c_string(member->name, 256);
    if (!name) continue;
    const StringId id = strings_.add(*name);
    if (id == 0) continue;
    members_.push_back({.offset = offset, .name = id});
    ++record.member_count;
  }
}

}  // namespace memsnap
