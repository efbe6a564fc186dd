#include "snapshot/walk/structural_scan.h"

#include <fmt/format.h>

#include <algorithm>

#include "inject/walker/object_scan.h"
#include "inject/walker/object_size.h"
#include "snapshot/walk/untraversed_scan.h"

namespace memsnap {

namespace {

// A forged size over a mapping of terabytes ends here, not where the mapping ends; and when many objects claim the same
// memory, all of them together are allowed so much, then each little.
constexpr std::uint64_t kMaxReads = 1ull << 28;  // of one object
constexpr std::uint64_t kMaxReadsOfAll = 1ull << 33;
constexpr std::uint64_t kFewReads = 1u << 12;

bool addressable(std::uint64_t target) { return target != 0 && (target & 7) == 0 && target >> 47 == 0; }

}  // namespace

bool plausible_reference_count(std::uint64_t count, const HeapLayout& layout) {
  if ((count & 0xffffffff) == 0 || count >> 63 != 0) return false;
  if (count >> 32 == 0) return true;
  // From 3.12 on an extension of an older ABI counts an immortal object up beyond 32 bits; a pointer is far more.
  const std::uint64_t carried = count >> 32 & 0xffff;
  return layout.since >= 0x030c0000 && carried <= 0xff && (count >> 48 == 0 || layout.since >= 0x030e0000);
}

struct StructuralScan::Memory {
  const ProcessMemory& source;
  mutable std::uint64_t reads_left;

  template <class T>
  bool read(std::uint64_t address, T* out) const {
    if (reads_left == 0) return false;
    --reads_left;
    const auto value = source.try_read<T>(address);
    if (value) *out = *value;
    return value.has_value();
  }
};

class StructuralScan::Sink {
 public:
  Sink(StructuralScan& scan, std::vector<std::uint64_t>& stream, std::vector<std::uint64_t>& targets)
      : scan_(scan), stream_(stream), targets_(targets) {}

  void edge(std::uint64_t target, EdgeKind kind) {
    if (!addressable(target)) return;
    stream_.push_back(target | static_cast<std::uint64_t>(kind) << kEdgeKindShift);
    if (kind != EdgeKind::kWeak) targets_.push_back(target);
  }
  void named(std::uint64_t target, EdgeKind kind, std::uint64_t name) {
    if (!addressable(target)) return;
    stream_.push_back(target | static_cast<std::uint64_t>(kind) << kEdgeKindShift | kEdgeNamed);
    stream_.push_back(name);
    if (kind != EdgeKind::kWeak) targets_.push_back(target);
    if (name > 0xffffffff && addressable(name)) targets_.push_back(name);
  }
  void field(std::uint64_t target, std::string_view name) { named(target, EdgeKind::kField, scan_.strings_.add(name)); }
  void guessed(std::uint64_t target, std::uint64_t offset) {
    named(target, EdgeKind::kField, scan_.name_of_offset(offset));
  }
  void unnamed_part() { stream_.push_back(static_cast<std::uint64_t>(WordKind::kTraversed) << kEdgeKindShift); }
  bool is_running(std::uint64_t frame) const {
    return std::binary_search(scan_.running_frames_.begin(), scan_.running_frames_.end(), frame);
  }
  bool is_code(std::uint64_t object) const {
    return scan_.memory_.try_read<std::uint64_t>(object + scan_.layout_.object.ob_type) == scan_.code_type_;
  }
  bool is_frame(std::uint64_t address) const {
    return scan_.is_object(address) && scan_.type_of(address).kind == TypeKind::kFrame;
  }
  bool is_plausible(std::uint64_t address) const { return scan_.is_object(address); }

 private:
  StructuralScan& scan_;
  std::vector<std::uint64_t>& stream_;
  std::vector<std::uint64_t>& targets_;
};

const TypeRecord& StructuralScan::type_of(std::uint64_t object) {
  const auto address = memory_.try_read<std::uint64_t>(object + layout_.object.ob_type);
  return types_.resolve(address && addressable(*address) ? *address : 0);  // no type is at 0
}

bool StructuralScan::is_object(std::uint64_t address) {
  if (!addressable(address)) return false;
  const auto count = memory_.try_read<std::uint64_t>(address);
  if (!count || !plausible_reference_count(*count, layout_)) return false;
  // A table of types in C, not an object whose first field is its count.
  if (*count > 0xffff && addressable(*count) && types_.resolve(*count).kind != TypeKind::kNotAType) return false;
  return type_of(address).kind != TypeKind::kNotAType;
}

std::optional<std::uint64_t> StructuralScan::size_of(std::uint64_t object) {
  const TypeRecord type = type_of(object);
  if (!addressable(object) || type.kind == TypeKind::kNotAType) return std::nullopt;
  std::uint64_t size = 0;
  const Memory memory{memory_, kMaxReads};
  const bool known = walker::object_size(memory, layout_, type, object, &size) && size <= largest_;
  return known ? size : type.basic_size;
}

bool StructuralScan::scan(std::uint64_t object, std::uint32_t flags, std::vector<std::uint64_t>& stream,
                          std::vector<std::uint64_t>& targets) {
  if (!addressable(object)) return false;
  const TypeRecord type = type_of(object);
  if (type.kind == TypeKind::kNotAType) return false;
  const std::uint64_t allowed = reads_ < kMaxReadsOfAll ? kMaxReads : kFewReads;
  const Memory memory{memory_, allowed};
  std::uint64_t size = 0;
  if (!walker::object_size(memory, layout_, type, object, &size) || size > largest_) size = type.basic_size;
  if ((type.flags & kTypeHasGc) != 0 && memory_.try_read<std::uint64_t>(object - 16).value_or(0) != 0) {
    if (type.kind != TypeKind::kType) flags |= kObjectTracked;
  }
  stream.push_back(object);
  stream.push_back(size);
  stream.push_back(static_cast<std::uint64_t>(type.id) << 32 | flags);
  Sink sink(*this, stream, targets);
  TypeRecord scanned = type;
  // A copy: resolving a type while scanning may grow the table.
  const auto all = types_.members();
  const std::vector<MemberRecord> members(all.begin() + type.member_begin,
                                          all.begin() + type.member_begin + type.member_count);
  scanned.member_begin = 0;
  walker::ObjectScan<Memory, Sink>(memory, layout_, members.data(), sink).scan(scanned, object);
  // tp_traverse does not run here.
  UntraversedScan<Memory, Sink>(memory, layout_, sink).scan(scanned, object);
  stream.push_back(0);
  reads_ += allowed - memory.reads_left;
  if (memory.reads_left == 0) ++cut_short_;
  return true;
}

StringId StructuralScan::name_of_offset(std::uint64_t offset) {
  StringId& name = offset_names_[offset];
  if (name == 0) name = strings_.add(fmt::format("field+{}", offset));
  return name;
}

void StructuralScan::scan_frame(std::uint64_t frame, std::uint32_t type_id, std::vector<std::uint64_t>& stream,
                                std::vector<std::uint64_t>& targets) {
  const Memory memory{memory_, kMaxReads};
  stream.push_back(frame);
  stream.push_back(0);
  stream.push_back(static_cast<std::uint64_t>(type_id) << 32 | kObjectSynthetic);
  Sink sink(*this, stream, targets);
  walker::ObjectScan<Memory, Sink>(memory, layout_, nullptr, sink).scan_frame(frame);
  stream.push_back(0);
}

}  // namespace memsnap
