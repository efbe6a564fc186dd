#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "attach/process_memory.h"
#include "inject/protocol/walker_abi.h"
#include "snapshot/cpython/type_table.h"
#include "snapshot/model/string_table.h"

namespace memsnap {

// The walker's structural knowledge applied from outside, where no code may run in a child: for the objects a
// tp_traverse failed at, and for whole heaps under --method stop and read.
class StructuralScan {
 public:
  // `running_frames`: addresses of the interpreter frames that threads run, ascending; outlives the scan.
  StructuralScan(const ProcessMemory& memory, const HeapLayout& layout, TypeTable& types, StringTable& strings,
                 std::uint64_t code_type, std::span<const std::uint64_t> running_frames)
      : memory_(memory),
        layout_(layout),
        types_(types),
        strings_(strings),
        code_type_(code_type),
        running_frames_(running_frames) {}

  // Appends the object's record to `stream` (walker_abi.h) and what it refers to to `targets`, weak references apart.
  // False when its header cannot be read or its type is none.
  bool scan(std::uint64_t object, std::uint32_t flags, std::vector<std::uint64_t>& stream,
            std::vector<std::uint64_t>& targets);
  // The same for what is no Python object: a running call's frame (3.11+).
  void scan_frame(std::uint64_t frame, std::uint32_t type_id, std::vector<std::uint64_t>& stream,
                  std::vector<std::uint64_t>& targets);
  // No object is larger than all memory: a size above it is a damaged one's, and its type's is taken.
  void set_largest(std::uint64_t size) { largest_ = size; }
  // Does this address hold an object of a known or verifiable type with a plausible reference count?
  bool is_object(std::uint64_t address);
  // How many objects claimed more parts than are looked at.
  std::uint64_t cut_short() const { return cut_short_; }
  // As object_size.h says; empty when its type cannot be resolved.
  std::optional<std::uint64_t> size_of(std::uint64_t object);

 private:
  class Sink;
  struct Memory;
  StringId name_of_offset(std::uint64_t offset);
  const TypeRecord& type_of(std::uint64_t object);  // kind kNotAType when it cannot be read or is none

  const ProcessMemory& memory_;
  const HeapLayout& layout_;
  TypeTable& types_;
  StringTable& strings_;
  std::uint64_t code_type_;
  std::span<const std::uint64_t> running_frames_;
  std::uint64_t largest_ = ~0ull;
  std::unordered_map<std::uint64_t, StringId> offset_names_;  // "field+24": not known to be a reference
  std::uint64_t reads_ = 0;
  std::uint64_t cut_short_ = 0;
};

// A live object's count is small, or one of the immortal marks of 3.12 (2^32 - 1) and 3.14 (flags in the upper half).
bool plausible_reference_count(std::uint64_t count, const HeapLayout& layout);

}  // namespace memsnap
