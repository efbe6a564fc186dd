#include "snapshot/walk/walk_host.h"

#include <algorithm>
#include <array>
#include <utility>

namespace memsnap {
namespace {

// Its tp_traverse is not run any more for objects of a type that failed so often: each failure costs a stop.
constexpr std::uint64_t kFailuresOfAType = 3;
constexpr std::uint64_t kOrphanPiece = 64u << 10;

}  // namespace

WalkHostState::WalkHostState(const ProcessMemory& memory, const HeapLayout& layout, StringTable& strings,
                             std::uint64_t code_type, std::uint64_t subtype_traverse,
                             std::span<const std::uint64_t> running_frames, bool keep_edges,
                             std::function<void(std::uint64_t)> on_progress)
    : memory_(memory),
      layout_(layout),
      types_(memory, layout, strings),
      builder_(keep_edges),
      scan_(memory, layout, types_, strings, code_type, running_frames),
      subtype_traverse_(subtype_traverse),
      on_progress_(std::move(on_progress)) {}

// Where structural knowledge sees all that tp_traverse would visit, or more, it is not called.
bool WalkHostState::is_structural(const TypeRecord& record) const {
  const bool exact = (record.flags & kTypeExact) != 0;
  const bool class_statement = subtype_traverse_ != 0 && record.traverse == subtype_traverse_;
  switch (record.kind) {
    case TypeKind::kStructSequence:
    case TypeKind::kType:
    case TypeKind::kText:
    case TypeKind::kBytes:
    case TypeKind::kInteger:
      return true;
    case TypeKind::kList:
    case TypeKind::kTuple:
    case TypeKind::kDict:
    case TypeKind::kSet:
      return exact || class_statement;
    case TypeKind::kCell:
    case TypeKind::kSlice:
    case TypeKind::kRange:
    case TypeKind::kDescriptor:
    case TypeKind::kCode:
      return exact;
    case TypeKind::kGeneric:
      return class_statement && record.base_size == 16;  // PyObject: only slots and a dict were added
    default:
      return false;
  }
}

const TypeRecord& WalkHostState::resolve(std::uint64_t type) {
  if (const auto found = records_.find(type); found != records_.end()) return found->second;
  TypeRecord record = types_.resolve(type);
  record.address = type;
  if (record.kind != TypeKind::kNotAType && is_structural(record)) record.flags |= kTypeStructural;
  return records_.emplace(type, record).first->second;
}

bool WalkHostState::failed(const FailedObject& object, std::uint64_t* type) {
  failed_.push_back(object.address);
  if (!object.foreign) return false;
  ++skipped_;
  const auto address = memory_.try_read<std::uint64_t>(object.address + layout_.object.ob_type);
  if (!address) return false;
  Blame& blame = blamed_[*address];
  if (blame.objects++ == 0) blame.first = object.what;
  *type = *address;
  return blame.objects >= kFailuresOfAType;
}

std::vector<std::uint64_t> WalkHostState::rescan_failed() {
  std::vector<std::uint64_t> targets;
  std::vector<std::uint64_t> stream;
  for (const std::uint64_t object : std::exchange(failed_, {})) {
    stream.clear();
    if (scan_.scan(object, kObjectStructural, stream, targets)) {
      builder_.words(stream);
    } else {
      ++unreadable_;
    }
  }
  return targets;
}

std::vector<std::uint64_t> WalkHostState::add_synthetic(std::uint64_t address, std::uint32_t type_id,
                                                        std::span<const std::uint64_t> stream_edges) {
  const std::array<std::uint64_t, 3> header{address, 0, static_cast<std::uint64_t>(type_id) << 32 | kObjectSynthetic};
  const std::uint64_t end = 0;
  builder_.words(header);
  builder_.words(stream_edges);
  builder_.words({&end, 1});
  std::vector<std::uint64_t> targets;
  for (std::size_t i = 0; i < stream_edges.size(); ++i) {
    targets.push_back(stream_edges[i] & kEdgeAddressMask);
    if ((stream_edges[i] & kEdgeNamed) != 0) ++i;
  }
  return targets;
}

std::vector<std::uint64_t> WalkHostState::add_frame(std::uint64_t frame) {
  std::vector<std::uint64_t> stream;
  std::vector<std::uint64_t> targets;
  scan_.scan_frame(frame, kFrameTypeId, stream, targets);
  builder_.words(stream);
  return targets;
}

void WalkHostState::walk_structurally(std::vector<std::uint64_t> seeds) {
  AddressIndex visited;
  std::vector<std::uint64_t> stream;
  std::vector<std::uint64_t> targets = std::move(seeds);
  std::vector<std::uint64_t> stack;
  std::uint64_t done = 0;
  for (;;) {
    for (const std::uint64_t target : targets) {
      if (!builder_.contains(target) && visited.insert(target)) stack.push_back(target);
    }
    targets.clear();
    if (stack.empty()) return;
    const std::uint64_t object = stack.back();
    stack.pop_back();
    stream.clear();
    if (scan_.scan(object, kObjectStructural, stream, targets)) {
      builder_.words(stream);
    } else {
      ++unreadable_;
    }
    if ((++done & 0xffff) == 0) tick(done);
  }
}

// On the grid of 16 bytes that every allocator keeps to, as the walker in the child does.
void WalkHostState::find_orphans_in(std::uint64_t begin, std::span<const std::uint64_t> words,
                                    const std::unordered_set<std::uint64_t>& types) {
  for (std::size_t i = 0; i + 1 < words.size(); i += 2) {
    const std::uint64_t type = words[i + 1];
    if (type < 4096 || (type & 7) != 0 || type >> 47 != 0 || !plausible_reference_count(words[i], layout_)) continue;
    const std::uint64_t object = begin + 8 * i;
    if (!types.contains(type) || builder_.contains(object)) continue;
    const std::uint64_t word = object | static_cast<std::uint64_t>(WordKind::kOrphan) << kEdgeKindShift;
    builder_.words({&word, 1});
  }
}

void WalkHostState::find_orphans(std::span<const AddressRange> ranges) {
  std::unordered_set<std::uint64_t> types;
  for (const ResolvedType& type : types_.types()) types.insert(type.address);
  std::vector<std::uint64_t> words(kOrphanPiece / 8);
  std::uint64_t done = 0;
  for (const AddressRange& range : ranges) {
    for (std::uint64_t at = range.begin; at < range.end; at += kOrphanPiece) {
      const std::span piece = std::span(words).first(std::min(kOrphanPiece, range.end - at) / 8);
      if (memory_.copy(at, std::as_writable_bytes(piece))) find_orphans_in(at, piece, types);
      if ((++done & 0xff) == 0) tick(builder_.objects());
    }
  }
}

std::vector<std::uint64_t> WalkHostState::take_new_static_types() {
  std::vector<std::uint64_t> found;
  for (; static_types_taken_ < types_.types().size(); ++static_types_taken_) {
    const ResolvedType& type = types_.types()[static_types_taken_];
    if ((type.record.flags & kTypeIsHeap) == 0) found.push_back(type.address);
  }
  return found;
}

}  // namespace memsnap
