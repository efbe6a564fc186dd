// The walk over the heap, run inside a frozen child of the target and nowhere else. Freestanding and position
// independent: no library, no globals, no system calls. A fault ends in memsnap's hands, which blames the current
// object and goes on.
#include "inject/protocol/walker_abi.h"
#include "inject/walker/object_scan.h"
#include "inject/walker/object_size.h"

namespace memsnap::walker {
namespace {

struct DirectMemory {
  template <class T>
  bool read(std::uint64_t address, T* out) const {
    struct __attribute__((packed, may_alias)) Unaligned {
      T value;
    };
    *out = reinterpret_cast<const Unaligned*>(address)->value;
    return true;
  }
  std::uint64_t word(std::uint64_t address) const {
    std::uint64_t result;
    read(address, &result);
    return result;
  }
};

template <class T>
T* pointer(std::uint64_t address) {
  return reinterpret_cast<T*>(address);
}

constexpr std::uint64_t kFirstAddress = 4096;  // no page below it holds an object: a NULL link ends a list

class Walk {
 public:
  explicit Walk(WalkerControl* control) : control_(control) {}

  void run() {
    for (;;) {
      drain();
      if (control_->seed_next < control_->seed_count) {
        seed();
      } else if (control_->head_next < control_->head_count) {
        follow_list();
      } else if (control_->range_next < control_->range_count) {
        scan_range();
      } else {
        trap(WalkerTrap::kDone, 0);
      }
    }
  }

  // From foreign code: one reference of the current object.
  void traversed(std::uint64_t target) { edge(target, EdgeKind::kNone); }

  // The sink of ObjectScan.
  void edge(std::uint64_t target, EdgeKind kind) {
    if (!addressable(target)) return;
    room();
    put(target | static_cast<std::uint64_t>(kind) << kEdgeKindShift);
    if (kind != EdgeKind::kWeak) visit(target);
  }
  void named(std::uint64_t target, EdgeKind kind, std::uint64_t name) {
    if (!addressable(target)) return;
    room();
    put(target | static_cast<std::uint64_t>(kind) << kEdgeKindShift | kEdgeNamed);
    put(name);
    if (kind != EdgeKind::kWeak) visit(target);
    if (name > 0xffffffff && addressable(name)) visit(name);
  }
  void guessed(std::uint64_t target, std::uint64_t /*offset*/) { edge(target, EdgeKind::kNone); }
  void unnamed_part() {
    room();
    put(static_cast<std::uint64_t>(WordKind::kTraversed) << kEdgeKindShift);
  }
  bool is_running(std::uint64_t frame) const {
    const std::uint64_t* const frames = pointer<std::uint64_t>(control_->running_frames);
    std::uint64_t begin = 0;
    for (std::uint64_t end = control_->running_count; begin < end;) {
      const std::uint64_t middle = (begin + end) / 2;
      if (frames[middle] == frame) return true;
      if (frames[middle] < frame) {
        begin = middle + 1;
      } else {
        end = middle;
      }
    }
    return false;
  }
  bool is_code(std::uint64_t object) {
    return addressable(object) && memory_.word(object + control_->layout.object.ob_type) == control_->code_type;
  }
  bool is_frame(std::uint64_t address) {
    if (address == 0 || !is_plausible(address)) return false;
    const TypeRecord* const type = find(memory_.word(address + control_->layout.object.ob_type));
    return type != nullptr && type->kind == TypeKind::kFrame;
  }
  bool is_plausible(std::uint64_t address) {
    if (!mapped(address) || !plausible_count(address)) return false;
    const std::uint64_t type = memory_.word(address + 8);
    if (!mapped(type)) return false;
    if (const TypeRecord* known = find(type)) return known->kind != TypeKind::kNotAType;
    const std::uint64_t metatype = memory_.word(type + 8);
    const TypeRecord* known = mapped(metatype) ? find(metatype) : nullptr;
    return known != nullptr && (known->flags & kTypeIsMetatype) != 0 && resolve(type)->kind != TypeKind::kNotAType;
  }

 private:
  void trap(WalkerTrap reason, std::uint64_t argument) {
    control_->trap = static_cast<std::uint64_t>(reason);
    control_->trap_argument = argument;
    __asm__ volatile("int3" ::: "memory");
  }
  // One edge with its name, a deferred word and the words that end a record fit after this.
  void room() {
    if (control_->out + 64 > control_->out_end) trap(WalkerTrap::kBufferFull, 0);
  }
  void put(std::uint64_t word) {
    *pointer<std::uint64_t>(control_->out) = word;
    control_->out += 8;
  }

  bool mapped(std::uint64_t address) const {
    return address >= kFirstAddress && (address & 7) == 0 && address >> 47 == 0 &&
           pointer<std::uint64_t>(control_->directory)[address >> 30] != 0;
  }
  bool addressable(std::uint64_t target) {
    if (target == 0) return false;
    if (mapped(target)) return true;
    ++control_->dropped;
    return false;
  }
  // A live object's count is small, or one of the immortal marks (3.12+: 2^30 and more in 32 bits, flags above).
  bool plausible_count(std::uint64_t object) const {
    const std::uint64_t count = memory_.word(object);
    if ((count & 0xffffffff) == 0 || count >> 63 != 0) return false;
    if (count >> 32 == 0) return true;
    // From 3.12 on an extension of an older ABI counts an immortal object up beyond 32 bits; a pointer is far more.
    return control_->layout.since >= 0x030c0000 && (count >> 32 & 0xffff) <= 0xff &&
           (count >> 48 == 0 || control_->layout.since >= 0x030e0000);
  }
  std::uint64_t* visited_word(std::uint64_t target) const {
    const std::uint64_t bitmap = pointer<std::uint64_t>(control_->directory)[target >> 30];
    return pointer<std::uint64_t>(bitmap) + ((target & ((1ull << 30) - 1)) >> 10);
  }
  void visit(std::uint64_t target) {
    std::uint64_t* const word = visited_word(target);
    const std::uint64_t bit = 1ull << (target >> 4 & 63);
    if ((*word & bit) != 0) return;
    *word |= bit;
    push(target);
  }
  void push(std::uint64_t target) {
    if (control_->stack_used == kStackWords) {
      put(target | static_cast<std::uint64_t>(WordKind::kDeferred) << kEdgeKindShift);
      return;
    }
    __builtin_prefetch(pointer<char>(target));
    pointer<std::uint64_t>(control_->stack)[control_->stack_used++] = target;
  }

  const TypeRecord* find(std::uint64_t type) const {
    const TypeRecord* const table = pointer<TypeRecord>(control_->types);
    for (std::uint64_t slot = type_slot(type, control_->type_mask);; slot = (slot + 1) & control_->type_mask) {
      if (table[slot].address == type) return &table[slot];
      if (table[slot].address == 0) return nullptr;
    }
  }
  const TypeRecord* resolve(std::uint64_t type) {
    for (;;) {
      if (const TypeRecord* known = find(type)) return known;
      trap(WalkerTrap::kUnknownType, type);
    }
  }

  void drain() {
    while (control_->stack_used > 0) {
      const std::uint64_t object = pointer<std::uint64_t>(control_->stack)[--control_->stack_used];
      control_->current = object;
      control_->phase = static_cast<std::uint64_t>(WalkerPhase::kScan);
      scan(object);
      control_->current = 0;
      ++control_->progress;
    }
    control_->phase = static_cast<std::uint64_t>(WalkerPhase::kIdle);
  }

  void seed() {
    const std::uint64_t object = pointer<std::uint64_t>(control_->seeds)[control_->seed_next++];
    if (!addressable(object)) return;
    room();
    if (control_->rescan != 0) {
      push(object);
    } else {
      visit(object);
    }
  }

  void follow_list() {
    control_->phase = static_cast<std::uint64_t>(WalkerPhase::kList);
    const std::uint64_t head = pointer<std::uint64_t>(control_->heads)[control_->head_next];
    if (control_->list_node == 0) {
      control_->list_node = head;
      control_->list_steps = 0;
      control_->list_mark = 0;
    }
    const std::uint64_t next = memory_.word(control_->list_node) & ~3ull;
    if (next == head || next == control_->list_mark || !mapped(next)) {
      ++control_->head_next;
      control_->list_node = 0;
      return;
    }
    control_->list_node = next;
    ++control_->progress;
    const std::uint64_t steps = ++control_->list_steps;
    if ((steps & (steps - 1)) == 0) control_->list_mark = next;
    room();
    if (mapped(next + 16)) visit(next + 16);
  }

  void scan(std::uint64_t object) {
    const TypeRecord& type = *resolve(memory_.word(object + control_->layout.object.ob_type));
    if (type.kind == TypeKind::kNotAType) {
      ++control_->dropped;
      return;
    }
    std::uint64_t size = 0;
    if (!object_size(memory_, control_->layout, type, object, &size)) size = type.basic_size;
    const bool collected = has_gc_head(type, object);
    room();
    put(object);
    put(size);
    put(static_cast<std::uint64_t>(type.id) << 32 | flags_of(object, collected));
    ObjectScan<DirectMemory, Walk>(memory_, control_->layout, pointer<MemberRecord>(control_->members), *this)
        .scan(type, object);
    if (collected && type.traverse != 0 && (type.flags & (kTypeNoTraverse | kTypeStructural)) == 0)
      traverse(type, object);
    room();
    put(0);
  }

  bool has_gc_head(const TypeRecord& type, std::uint64_t object) {
    if ((type.flags & kTypeHasGc) == 0) return false;
    if (type.kind == TypeKind::kType) return (memory_.word(object + control_->layout.type.tp_flags) >> 9 & 1) != 0;
    if (type.is_gc == 0 || (type.flags & kTypeNoTraverse) != 0) return true;
    control_->phase = static_cast<std::uint64_t>(WalkerPhase::kTraverse);
    const bool answer = pointer<int(void*)>(type.is_gc)(pointer<void>(object)) != 0;
    control_->phase = static_cast<std::uint64_t>(WalkerPhase::kScan);
    return answer;
  }

  std::uint64_t flags_of(std::uint64_t object, bool collected) const {
    std::uint64_t flags = 0;
    if (collected && memory_.word(object - 16) != 0) flags |= kObjectTracked;
    if (control_->list_node + 16 == object && control_->head_next == control_->permanent_head)
      flags |= kObjectPermanent;
    return flags;
  }

  void traverse(const TypeRecord& type, std::uint64_t object);

  // The 16-byte grid of a heap range: what looks like an object of a known type and was not reached.
  void scan_range() {
    control_->phase = static_cast<std::uint64_t>(WalkerPhase::kOrphans);
    const AddressRange range = pointer<AddressRange>(control_->ranges)[control_->range_next++];
    for (std::uint64_t at = range.begin; at + 16 <= range.end; at += 16) {
      const std::uint64_t type = memory_.word(at + 8);
      if ((type & 7) != 0 || type >> 47 != 0 || type < 4096) continue;
      const TypeRecord* known = find(type);
      if (known == nullptr || known->kind == TypeKind::kNotAType || !plausible_count(at)) continue;
      if ((*visited_word(at) >> (at >> 4 & 63) & 1) != 0) continue;
      room();
      put(at | static_cast<std::uint64_t>(WordKind::kOrphan) << kEdgeKindShift);
      ++control_->progress;
    }
  }

  WalkerControl* control_;
  DirectMemory memory_;
};

int visit_reference(void* object, void* walk) {
  static_cast<Walk*>(walk)->traversed(reinterpret_cast<std::uint64_t>(object));
  return 0;
}

void Walk::traverse(const TypeRecord& type, std::uint64_t object) {
  using Visit = int (*)(void*, void*);
  unnamed_part();
  control_->phase = static_cast<std::uint64_t>(WalkerPhase::kTraverse);
  pointer<int(void*, Visit, void*)>(type.traverse)(pointer<void>(object), &visit_reference, this);
  control_->phase = static_cast<std::uint64_t>(WalkerPhase::kScan);
}

}  // namespace
}  // namespace memsnap::walker

extern "C" __attribute__((section(".text.entry"), used)) void memsnap_walk(memsnap::WalkerControl* control) {
  memsnap::walker::Walk(control).run();
}

// The compiler may call these by itself.
extern "C" __attribute__((used, optimize("no-tree-loop-distribute-patterns"))) void* memset(void* to, int byte,
                                                                                            unsigned long size) {
  for (unsigned long i = 0; i < size; ++i) static_cast<unsigned char*>(to)[i] = static_cast<unsigned char>(byte);
  return to;
}
extern "C" __attribute__((used, optimize("no-tree-loop-distribute-patterns"))) void* memcpy(void* to, const void* from,
                                                                                            unsigned long size) {
  for (unsigned long i = 0; i < size; ++i)
    static_cast<unsigned char*>(to)[i] = static_cast<const unsigned char*>(from)[i];
  return to;
}
