#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "attach/process_memory.h"
#include "inject/protocol/heap_layout.h"
#include "inject/protocol/walker_abi.h"
#include "snapshot/cpython/object_reader.h"
#include "snapshot/model/string_table.h"

namespace memsnap {

struct ResolvedType {
  StringId name = 0;  // module.qualname, "builtins.dict"
  std::uint64_t address = 0;
  TypeRecord record{};
};

// The types of one target, each read and verified once. Static types are named by tp_name alone, so it does not matter
// that from 3.12 on the dict of a builtin one is kept in the interpreter and not in the type.
class TypeTable {
 public:
  // All three must outlive the table. At most `limit` types are kept, and as many addresses that are none.
  TypeTable(const ProcessMemory& memory, const HeapLayout& layout, StringTable& strings, std::size_t limit = 1u << 20);

  // The record of the type at `address`: kind kNotAType, and no place in types(), unless it is verified to be one.
  // A reference to a type's record stays valid; one to a kNotAType record only until the next call.
  const TypeRecord& resolve(std::uint64_t address);

  // Verified types; index i has record.id i.
  const std::deque<ResolvedType>& types() const { return types_; }
  // What TypeRecord::member_begin and member_count refer to.
  const std::vector<MemberRecord>& members() const { return members_; }
  const ObjectReader& reader() const { return reader_; }

 private:
  // Fields of a type object, as they are in the target.
  struct RawType {
    std::uint64_t address, metatype, name, flags, traverse, members, base, dict, is_gc, mro;
    std::int64_t basic_size, item_size, weaklist_offset, dict_offset;
    std::uint64_t cached_keys;
    bool by_class_statement;  // its fields are __dict__, __weakref__ and __slots__ on top of the base's
  };
  // What the dict of a class says.
  struct ClassFacts {
    std::uint64_t module = 0;
    std::uint64_t sizeof_method = 0;
    std::optional<std::int64_t> field_count;  // n_fields of a struct sequence
  };

  std::optional<RawType> read_raw(std::uint64_t address) const;
  std::optional<RawType> read_verified(std::uint64_t address);
  bool is_metatype(std::uint64_t address);
  bool is_plausible(const RawType& raw) const;
  bool made_by_class_statement(const RawType& raw) const;
  std::vector<RawType> base_chain(const RawType& raw);
  const ClassFacts& facts(const RawType& raw);
  std::optional<std::string> full_name(const RawType& raw);
  TypeRecord describe(const std::vector<RawType>& chain);
  std::uint32_t flags_of(const RawType& raw) const;
  void set_kind(const std::vector<RawType>& chain, TypeRecord& record);
  bool has_python_sizeof(const RawType& raw);
  std::optional<std::uint32_t> struct_sequence_fields(const std::vector<RawType>& chain);
  void add_members(const std::vector<RawType>& chain, TypeRecord& record);
  void add_members_of(const RawType& raw, std::uint32_t instance_size, TypeRecord& record);

  const ProcessMemory& memory_;
  const HeapLayout& layout_;
  StringTable& strings_;
  std::size_t limit_;
  ObjectReader reader_;
  std::deque<ResolvedType> types_;
  std::vector<MemberRecord> members_;
  std::unordered_map<std::uint64_t, std::uint32_t> ids_;  // by address; kNoType: looked at, is none
  std::unordered_map<std::uint64_t, bool> metatypes_;
  std::unordered_map<std::uint64_t, ClassFacts> facts_;
  TypeRecord no_type_{};
};

}  // namespace memsnap
