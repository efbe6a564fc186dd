#pragma once

#include <cstdint>

#include "inject/protocol/heap_layout.h"
#include "inject/protocol/walker_abi.h"

namespace memsnap::walker {

// No real count of locals, items or frames is larger: what claims more is forged.
inline constexpr std::uint64_t kMaxLocals = 1u << 20;
inline constexpr std::uint64_t kMaxItems = 1ull << 40;

// What every part of ObjectScan needs: reading that turns what cannot be read into 0, and edges to what is there.
// Memory and Sink are described in object_scan.h.
template <class Memory, class Sink>
struct ScanContext {
  const Memory& memory;
  const HeapLayout& layout;
  const MemberRecord* members;
  Sink& sink;

  // 0 for a null pointer and for memory that cannot be read alike: both are no reference.
  std::uint64_t word(std::uint64_t address) const { return value<std::uint64_t>(address); }
  template <class T>
  std::uint64_t value(std::uint64_t address) const {
    T read{};
    if (!memory.read(address, &read)) return 0;
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(read));
  }
  // A stack reference: 3.14 tags the low bits; both bits set is a small integer, no pointer.
  std::uint64_t reference(std::uint64_t address) const {
    const std::uint64_t read = word(address);
    if (layout.frame.tag_mask == 0) return read;
    return (read & 3) == 3 ? 0 : read & ~static_cast<std::uint64_t>(layout.frame.tag_mask);
  }

  void field(std::uint64_t target, FieldName name) const {
    if (target != 0) sink.named(target, EdgeKind::kField, static_cast<std::uint64_t>(name));
  }
  void field_at(std::uint64_t object, std::uint16_t offset, FieldName name) const {
    if (offset != 0) field(word(object + offset), name);
  }
  void local(std::uint64_t target, std::uint64_t name) const {
    if (target != 0) sink.named(target, EdgeKind::kLocal, name);
  }
};

}  // namespace memsnap::walker
