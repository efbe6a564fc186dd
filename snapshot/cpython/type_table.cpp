#include "snapshot/cpython/type_table.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

namespace memsnap {
namespace {

constexpr std::uint32_t kNoType = 0xffffffff;
constexpr std::int64_t kMaxBasicSize = 1 << 24;
constexpr std::int64_t kMaxItemSize = 1 << 20;
constexpr std::int64_t kMinBasicSize = 16;  // PyObject
constexpr std::size_t kMaxBases = 4096;
constexpr std::size_t kMaxNameLength = 1024;
constexpr int kMaxMetatypes = 16;

// One field of a struct that was copied as a whole.
template <typename T>
T field(const std::array<std::byte, 512>& bytes, std::size_t offset) {
  T value{};
  if (offset + sizeof(T) <= bytes.size()) std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

// Names of static types are literals of somebody's C code; anything else is not a type.
bool is_c_name(std::string_view name) {
  return !name.empty() && std::ranges::all_of(name, [](char c) { return c >= 0x20 && c < 0x7f; });
}

}  // namespace

TypeTable::TypeTable(const ProcessMemory& memory, const HeapLayout& layout, StringTable& strings, std::size_t limit)
    : memory_(memory), layout_(layout), strings_(strings), limit_(limit), reader_(memory, layout) {}

const TypeRecord& TypeTable::resolve(std::uint64_t address) {
  if (const auto known = ids_.find(address); known != ids_.end() && known->second != kNoType) {
    return types_[known->second].record;
  }
  no_type_ = {};
  no_type_.address = address;
  no_type_.id = kNoType;
  no_type_.kind = TypeKind::kNotAType;
  if (ids_.contains(address) || types_.size() >= limit_) return no_type_;

  const auto raw = read_verified(address);
  const auto name = raw ? full_name(*raw) : std::nullopt;
  if (!name) {
    if (ids_.size() < 2 * limit_) ids_.emplace(address, kNoType);
    return no_type_;
  }
  const auto id = static_cast<std::uint32_t>(types_.size());
  ids_.emplace(address, id);
  ResolvedType& type = types_.emplace_back();
  type.name = strings_.add(*name);
  type.address = address;
  type.record = describe(base_chain(*raw));
  type.record.id = id;
  return type.record;
}

std::optional<TypeTable::RawType> TypeTable::read_raw(std::uint64_t address) const {
  const auto& at = layout_.type;
  std::array<std::byte, 512> bytes{};
  if (address % 8 != 0 || at.size > bytes.size()) return std::nullopt;
  if (!memory_.copy(address, std::span(bytes).first(at.size))) return std::nullopt;
  if (field<std::uint32_t>(bytes, layout_.object.ob_refcnt) == 0) return std::nullopt;
  RawType raw{.address = address,
              .metatype = field<std::uint64_t>(bytes, layout_.object.ob_type),
              .name = field<std::uint64_t>(bytes, at.tp_name),
              .flags = field<std::uint64_t>(bytes, at.tp_flags),
              .traverse = field<std::uint64_t>(bytes, at.tp_traverse),
              .members = field<std::uint64_t>(bytes, at.tp_members),
              .base = field<std::uint64_t>(bytes, at.tp_base),
              .dict = field<std::uint64_t>(bytes, at.tp_dict),
              .is_gc = field<std::uint64_t>(bytes, at.tp_is_gc),
              .mro = field<std::uint64_t>(bytes, at.tp_mro),
              .basic_size = field<std::int64_t>(bytes, at.tp_basicsize),
              .item_size = field<std::int64_t>(bytes, at.tp_itemsize),
              .weaklist_offset = field<std::int64_t>(bytes, at.tp_weaklistoffset),
              .dict_offset = field<std::int64_t>(bytes, at.tp_dictoffset),
              .cached_keys = 0,
              .by_class_statement = false};
  if (!is_plausible(raw)) return std::nullopt;
  if ((raw.flags & kFlagHeapType) != 0) {
    raw.cached_keys = memory_.try_read<std::uint64_t>(address + at.ht_cached_keys).value_or(0);
    raw.by_class_statement = made_by_class_statement(raw);
  }
  return raw;
}

bool TypeTable::is_plausible(const RawType& raw) const {
  const bool heap = (raw.flags & kFlagHeapType) != 0;
  const bool ready = (raw.flags & kFlagReady) != 0;
  // Some static types are never readied: their bases, dict and even size are still to be inherited.
  if (!ready && (heap || (raw.basic_size != 0 && raw.basic_size < kMinBasicSize))) return false;
  if (ready && (raw.basic_size < kMinBasicSize || (raw.base == 0 && raw.dict_offset != 0))) return false;
  if (raw.basic_size > kMaxBasicSize || raw.item_size < 0 || raw.item_size > kMaxItemSize) return false;
  const auto inside = [&](std::int64_t offset) { return offset <= raw.basic_size && offset >= -kMaxBasicSize; };
  return inside(raw.dict_offset) && inside(raw.weaklist_offset) && raw.name != 0;
}

// type.__new__ and the setter of __name__ let tp_name point into the str of ht_name; PyType_FromSpec does not.
bool TypeTable::made_by_class_statement(const RawType& raw) const {
  const auto name = memory_.try_read<std::uint64_t>(raw.address + layout_.type.ht_name);
  if (!name || *name == 0) return false;
  if (raw.name == *name + layout_.text.ascii_size) return true;
  const auto state = memory_.try_read<std::uint32_t>(*name + layout_.text.state);
  const bool compact_ascii =
      !state || ((*state >> layout_.text.compact_shift & 1) != 0 && (*state >> layout_.text.ascii_shift & 1) != 0);
  return !compact_ascii && memory_.try_read<std::uint64_t>(*name + layout_.text.utf8) == raw.name;
}

std::optional<TypeTable::RawType> TypeTable::read_verified(std::uint64_t address) {
  auto raw = read_raw(address);
  if (!raw || !is_metatype(raw->metatype)) return std::nullopt;
  return raw;
}

// A type's type is a subclass of `type`, and so is that one's; the chain ends in `type`, which is its own type.
bool TypeTable::is_metatype(std::uint64_t address) {
  if (const auto known = metatypes_.find(address); known != metatypes_.end()) return known->second;
  bool good = false;
  std::uint64_t at = address;
  for (int depth = 0; depth < kMaxMetatypes; ++depth) {
    const auto raw = read_raw(at);
    if (!raw || (raw->flags & kFlagType) == 0 || (raw->flags & kFlagReady) == 0) break;
    if (raw->metatype == at) {
      good = memory_.try_read_c_string(raw->name, kMaxNameLength) == "type";
      break;
    }
    at = raw->metatype;
  }
  if (metatypes_.size() < limit_) metatypes_.emplace(address, good);
  return good;
}

std::vector<TypeTable::RawType> TypeTable::base_chain(const RawType& raw) {
  std::vector<RawType> chain{raw};
  while (chain.back().base != 0 && chain.size() < kMaxBases) {
    const auto base = read_raw(chain.back().base);
    if (!base) break;
    chain.push_back(*base);
  }
  return chain;
}

const TypeTable::ClassFacts& TypeTable::facts(const RawType& raw) {
  const auto [entry, fresh] = facts_.try_emplace(raw.address);
  ClassFacts& facts = entry->second;
  if (!fresh || raw.dict == 0 || !reader_.is(raw.dict, kFlagDict)) return facts;
  reader_.for_each_entry(
      raw.dict,
      [&](std::uint64_t key, std::uint64_t value) {
        const auto length = memory_.try_read<std::uint64_t>(key + layout_.text.length).value_or(0);
        if (length == 10 && reader_.text_equals(key, "__module__")) facts.module = value;
        if (length == 10 && reader_.text_equals(key, "__sizeof__")) facts.sizeof_method = value;
        if (length == 8 && reader_.text_equals(key, "n_fields")) facts.field_count = reader_.integer(value);
        return true;
      },
      1u << 16);
  return facts;
}

std::optional<std::string> TypeTable::full_name(const RawType& raw) {
  if ((raw.flags & kFlagHeapType) == 0) {
    auto name = memory_.try_read_c_string(raw.name, kMaxNameLength);
    if (!name || !is_c_name(*name)) return std::nullopt;
    return name->find('.') == std::string::npos ? "builtins." + *name : *name;
  }
  const auto qualname_at = memory_.try_read<std::uint64_t>(raw.address + layout_.type.ht_qualname);
  auto qualname = qualname_at ? reader_.text(*qualname_at, kMaxNameLength) : std::nullopt;
  if (!qualname) return std::nullopt;
  const auto module = reader_.text(facts(raw).module, kMaxNameLength);
  return module ? *module + "." + *qualname : *qualname;
}

}  // namespace memsnap
