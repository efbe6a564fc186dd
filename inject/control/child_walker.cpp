#include "inject/control/child_walker.h"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstddef>
#include <iterator>
#include <utility>

#include "attach/base/error.h"
#include "inject/control/walker_blob.h"

namespace memsnap {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr milliseconds kSlice{10};  // what was found till then is safe when the child is killed from outside
constexpr milliseconds kNoProgress{200};
constexpr milliseconds kObjectLimit{2000};      // one tp_traverse that goes on emitting
constexpr std::uint64_t kMaxFailures = 100000;  // a heap that faults more is not worth walking by tp_traverse
constexpr std::size_t kMemberBytes = 8u << 20;
constexpr std::size_t kCallStackBytes = 8u << 20;
constexpr std::size_t kFirstTypeSlots = 1u << 14;
constexpr std::size_t kMaxTypes = 1u << 20;
constexpr std::uint64_t kGiB = 1ull << 30;

std::span<const std::byte> bytes_of(const void* data, std::size_t size) {
  return {static_cast<const std::byte*>(data), size};
}

}  // namespace

ChildWalker::ChildWalker(FrozenChild& child, const MemoryMap& map, const HeapLayout& layout, std::uint64_t code_type,
                         std::span<const std::uint64_t> running_frames, WalkHost& host)
    : child_(child), memory_(child.pid()), host_(host) {
  map_memory();
  WalkerControl control{};
  control.directory = child_.reserve(kDirectoryWords * 8);
  control.types = types_;
  control.type_mask = table_.size() - 1;
  control.members = members_;
  control.stack = child_.reserve(kStackWords * 8);
  control.permanent_head = ~0ull;
  control.code_type = code_type;
  if (!running_frames.empty()) control.running_frames = map_words(running_frames);
  control.running_count = running_frames.size();
  control.layout = layout;
  if (control.directory == 0 || control.stack == 0) {
    throw Error(ExitCode::kInternal, "the frozen child cannot be given memory", "");
  }
  child_.write(control_, bytes_of(&control, sizeof(control)));
  use_buffer(0);
  write_directory(map);
  child_.prepare_call(entry_, control_, stack_top_);
}

void ChildWalker::map_memory() {
  const std::span<const std::byte> code = walker_blob();
  entry_ = child_.map(code.size(), true);
  child_.write(entry_, code);
  control_ = child_.map(sizeof(WalkerControl), false);
  stack_top_ = child_.map(kCallStackBytes, false) + kCallStackBytes;
  buffers_[0] = child_.map(kBufferBytes, false);
  buffers_[1] = child_.map(kBufferBytes, false);
  members_ = child_.map(kMemberBytes, false);
  table_.assign(kFirstTypeSlots, TypeRecord{});
  types_ = child_.map(table_.size() * sizeof(TypeRecord), false);
}

// One bitmap for each GiB in which anything readable is mapped. Their pages cost nothing until an object is visited.
void ChildWalker::write_directory(const MemoryMap& map) {
  std::vector<std::uint64_t> used;
  for (const Mapping& mapping : map.mappings()) {
    if (!mapping.readable || mapping.end > kDirectoryWords * kGiB) continue;
    for (std::uint64_t gib = mapping.begin / kGiB; gib <= (mapping.end - 1) / kGiB; ++gib) {
      if (used.empty() || used.back() != gib) used.push_back(gib);
    }
  }
  const std::uint64_t directory = read_control().directory;
  std::uint64_t bitmap = child_.reserve(used.size() * kBitmapBytes);
  if (bitmap == 0) throw Error(ExitCode::kInternal, "the frozen child cannot be given a visited bitmap", "");
  for (const std::uint64_t gib : used) {
    child_.write(directory + gib * 8, bytes_of(&bitmap, sizeof(bitmap)));
    bitmap += kBitmapBytes;
  }
}

template <class T>
void ChildWalker::set(T WalkerControl::*field, T value) {
  const WalkerControl probe{};
  const auto offset = reinterpret_cast<const std::byte*>(&(probe.*field)) - reinterpret_cast<const std::byte*>(&probe);
  child_.write(control_ + static_cast<std::uint64_t>(offset), bytes_of(&value, sizeof(value)));
}

WalkerControl ChildWalker::read_control() const { return memory_.read<WalkerControl>(control_); }

std::uint64_t ChildWalker::map_words(std::span<const std::uint64_t> words) {
  const std::uint64_t at = child_.map(words.size_bytes(), false);
  child_.write(at, std::as_bytes(words));
  return at;
}

void ChildWalker::walk_seeds(std::span<const std::uint64_t> seeds, bool rescan) {
  if (seeds.empty()) return;
  set(&WalkerControl::seeds, map_words(seeds));
  set<std::uint64_t>(&WalkerControl::seed_count, seeds.size());
  set<std::uint64_t>(&WalkerControl::seed_next, 0);
  set<std::uint64_t>(&WalkerControl::rescan, rescan ? 1 : 0);
  run();
}

void ChildWalker::walk_lists(std::span<const std::uint64_t> heads, std::uint64_t permanent_index) {
  if (heads.empty()) return;
  set(&WalkerControl::heads, map_words(heads));
  set<std::uint64_t>(&WalkerControl::head_count, heads.size());
  set<std::uint64_t>(&WalkerControl::head_next, 0);
  set(&WalkerControl::permanent_head, permanent_index);
  run();
}

void ChildWalker::find_orphans(std::span<const AddressRange> ranges) {
  if (ranges.empty()) return;
  const std::uint64_t at = child_.map(ranges.size_bytes(), false);
  child_.write(at, std::as_bytes(ranges));
  set(&WalkerControl::ranges, at);
  set<std::uint64_t>(&WalkerControl::range_count, ranges.size());
  set<std::uint64_t>(&WalkerControl::range_next, 0);
  run();
}

void ChildWalker::use_buffer(std::size_t index) {
  buffer_ = index;
  taken_ = buffers_[index];
  set(&WalkerControl::out, buffers_[index]);
  set(&WalkerControl::out_end, buffers_[index] + kBufferBytes);
}

void ChildWalker::drain(std::uint64_t begin, std::uint64_t end) {
  const bool inside = std::any_of(std::begin(buffers_), std::end(buffers_), [&](std::uint64_t buffer) {
    return begin >= buffer && end >= begin && end <= buffer + kBufferBytes;
  });
  if (!inside) throw Error(ExitCode::kInternal, "the walker's buffer is damaged", "");
  scratch_.resize((end - begin) / 8);
  if (!memory_.copy(begin, std::as_writable_bytes(std::span(scratch_)))) {
    throw Error(ExitCode::kInternal, "the walker's buffer cannot be read: was the frozen child killed?", "");
  }
  drained_ += end - begin;
  host_.words(scratch_);
}

void ChildWalker::run() {
  last_change_ = object_began_ = steady_clock::now();
  std::optional<FullBuffer> full;
  for (;;) {
    child_.resume_async();
    if (full) drain(full->begin, full->end);  // while the child fills the other one
    full.reset();
    const ChildStop stop = child_.wait(kSlice);
    if (stop.kind == ChildStop::Kind::kTrap) {
      if (!handle_trap(&full)) return;
    } else if (stop.kind != ChildStop::Kind::kDeadline || out_of_time()) {
      handle_failure(stop);
    } else {
      // Stopped anywhere, perhaps with a copy of `out` in a register: what is there is taken, nothing is changed.
      const std::uint64_t end = read_control().out;
      drain(taken_, end);
      taken_ = end;
    }
  }
}

// False: the child has nothing left to do.
bool ChildWalker::handle_trap(std::optional<FullBuffer>* full) {
  const WalkerControl now = read_control();
  switch (static_cast<WalkerTrap>(now.trap)) {
    case WalkerTrap::kUnknownType:
      add_type(now.trap_argument);
      return true;
    case WalkerTrap::kBufferFull:
      host_.tick(now.progress);
      if (out_of_time()) {
        handle_failure({.kind = ChildStop::Kind::kDeadline});
        return true;
      }
      *full = FullBuffer{taken_, now.out};
      use_buffer(1 - buffer_);
      return true;
    case WalkerTrap::kDone:
      drain(taken_, now.out);
      use_buffer(buffer_);
      return false;
    default:
      handle_failure({.kind = ChildStop::Kind::kSignal, .signal = SIGTRAP});
      return true;
  }
}

// No word, object or list node for a while, or foreign code that does not come to an end.
bool ChildWalker::out_of_time() {
  const WalkerControl now = read_control();
  const auto time = steady_clock::now();
  const std::uint64_t emitted = drained_ + (now.out - taken_);
  if (now.current != last_.current || now.progress != last_.progress) object_began_ = time;
  if (now.progress != last_.progress || emitted != last_emitted_ || now.current != last_.current) last_change_ = time;
  last_ = now;
  last_emitted_ = emitted;
  host_.tick(now.progress);
  const bool foreign = now.phase == static_cast<std::uint64_t>(WalkerPhase::kTraverse);
  if (now.phase == static_cast<std::uint64_t>(WalkerPhase::kOrphans)) return false;  // a large range is one long loop
  return time - last_change_ >= kNoProgress || (foreign && time - object_began_ >= kObjectLimit);
}

void ChildWalker::handle_failure(const ChildStop& stop) {
  if (stop.kind == ChildStop::Kind::kEnded) {
    throw Error(ExitCode::kGaveUp, "the frozen child was killed while it was walked",
                "its memory limit may be too near; try --kind types, or --method stop");
  }
  WalkerControl now = read_control();
  drain(taken_, now.out);
  const auto phase = static_cast<WalkerPhase>(now.phase);
  if (now.current != 0) {
    const std::uint64_t abandoned = static_cast<std::uint64_t>(WordKind::kAbandoned) << kEdgeKindShift;
    host_.words({&abandoned, 1});
    blame(now, stop);
  } else if (phase == WalkerPhase::kList) {
    now.head_next += 1;
    now.list_node = 0;
  }
  if (++failures_ > kMaxFailures) throw Error(ExitCode::kInternal, "the walk failed at too many objects", "");
  now.current = 0;
  now.phase = static_cast<std::uint64_t>(WalkerPhase::kIdle);
  child_.write(control_, bytes_of(&now, sizeof(now)));
  use_buffer(buffer_);
  child_.prepare_call(entry_, control_, stack_top_);
  last_change_ = object_began_ = steady_clock::now();
}

void ChildWalker::blame(const WalkerControl& now, const ChildStop& stop) {
  FailedObject object;
  object.address = now.current;
  object.foreign = now.phase == static_cast<std::uint64_t>(WalkerPhase::kTraverse);
  switch (stop.kind) {
    case ChildStop::Kind::kSignal:
      object.what = fmt::format("signal {}", stop.signal);
      break;
    case ChildStop::Kind::kSystemCall:
      object.what = fmt::format("system call {}", stop.system_call);
      break;
    default:
      object.what = "no end in time";
  }
  std::uint64_t type = 0;
  if (!host_.failed(object, &type)) return;
  for (TypeRecord& record : table_) {
    if (record.address != type) continue;
    record.flags |= kTypeNoTraverse;
    put_type(record);
  }
}

void ChildWalker::add_type(std::uint64_t address) {
  const TypeRecord record = host_.resolve(address);
  const std::span<const MemberRecord> members = host_.members();
  if (members.size() * sizeof(MemberRecord) > kMemberBytes || type_count_ >= kMaxTypes) {
    throw Error(ExitCode::kInternal, "the target has too many types", "");
  }
  if (members.size() > members_written_) {
    const auto fresh = members.subspan(members_written_);
    child_.write(members_ + members_written_ * sizeof(MemberRecord), std::as_bytes(fresh));
    members_written_ = members.size();
  }
  if (type_count_ * 2 >= table_.size()) grow_types();
  std::size_t slot = type_slot(address, table_.size() - 1);
  while (table_[slot].address != 0) slot = (slot + 1) & (table_.size() - 1);
  table_[slot] = record;
  table_[slot].address = address;
  ++type_count_;
  put_type(table_[slot]);
}

// `record` lies in table_; the child's copy has the same slots.
void ChildWalker::put_type(const TypeRecord& record) {
  const auto slot = static_cast<std::uint64_t>(&record - table_.data());
  child_.write(types_ + slot * sizeof(TypeRecord), bytes_of(&record, sizeof(record)));
}

void ChildWalker::grow_types() {
  std::vector<TypeRecord> larger(table_.size() * 2);
  for (const TypeRecord& record : table_) {
    if (record.address == 0) continue;
    std::size_t slot = type_slot(record.address, larger.size() - 1);
    while (larger[slot].address != 0) slot = (slot + 1) & (larger.size() - 1);
    larger[slot] = record;
  }
  table_ = std::move(larger);
  types_ = child_.map(table_.size() * sizeof(TypeRecord), false);
  child_.write(types_, std::as_bytes(std::span(table_)));
  set(&WalkerControl::types, types_);
  set<std::uint64_t>(&WalkerControl::type_mask, table_.size() - 1);
}

}  // namespace memsnap
