#include "inject/control/reference_scan.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "attach/cached_memory.h"
#include "attach/registers.h"
#include "attach/unwinder.h"
#include "inject/control/written_pages.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kRedZone = 128;
constexpr std::uint64_t kMostStack = 64ull << 20;
constexpr std::uint64_t kGuardOffset = 0x30;  // of the pointer guard in the thread control block, glibc x86-64
constexpr int kGuardRotation = 17;
constexpr std::size_t kMostHits = 100000;
constexpr std::size_t kMostReasons = 5;
constexpr std::uint64_t kPointerTags = 8;  // low bits in which a program may keep marks

struct Hit {
  std::uint64_t address;
  std::uint64_t value;
  bool is_pointer;  // to a function that is hooked in: never something an ended call left
};

struct ThreadLook {
  const HeldThread* thread = nullptr;
  std::uint64_t dead_begin = 0;  // of its stack: what is not in use
  std::uint64_t begin = 0, end = 0;
  bool own_stack = false;  // that which it was made with, so that nothing of it lies elsewhere
  bool hit = false;
  std::optional<bool> passes{};  // through the image; unknown: nullopt after a look
  bool looked = false;
};

// The lowest address of a thread's stack as its descriptor has it, a block and its size around both; else `top`.
// glibc nptl/descr.h, stackblock: at no fixed place, so it is looked for.
std::uint64_t stack_begin(const FrozenProcess& frozen, std::uint64_t descriptor, std::uint64_t top, std::uint64_t end) {
  constexpr std::size_t kMostWords = 0x1000 / 8;
  constexpr std::uint64_t kPage = 4096;
  std::array<std::uint64_t, kMostWords> words{};
  const std::size_t count = std::min<std::size_t>((end - descriptor) / 8, kMostWords);
  if (!frozen.memory().copy(descriptor, std::as_writable_bytes(std::span(words).first(count)))) return top;
  for (std::size_t i = 0; i + 1 < count; ++i) {
    const std::uint64_t block = words[i], size = words[i + 1];
    if (block % kPage == 0 && block < top && size <= end - block && size > descriptor - block) return block;
  }
  return top;
}

ThreadLook stack_of(const HeldThread& thread, const FrozenProcess& frozen) {
  ThreadLook look{.thread = &thread};
  const std::uint64_t top = thread.registers.rsp;
  const Mapping* const mapping = frozen.map().find(top);
  if (mapping == nullptr) return look;
  const std::uint64_t descriptor = thread.registers.fs_base;  // at the end of the stack of a thread that was made
  const bool made = descriptor > top && descriptor < mapping->end && descriptor - top < kMostStack;
  look.begin = top - kRedZone;
  look.end = made ? std::min(mapping->end, descriptor + kRedZone) : mapping->end;
  look.own_stack = made || mapping->name == "[stack]";
  look.dead_begin = mapping->name == "[stack]" ? mapping->begin
                    : made ? std::min(look.begin, stack_begin(frozen, descriptor, top, mapping->end))
                           : look.begin;  // the mapping may hold more than a stack
  return look;
}

class Scan {
 public:
  Scan(FrozenProcess& frozen, const ScanQuestion& question)
      : frozen_(frozen),
        question_(question),
        begin_(question.place.image_begin),
        size_(question.place.image_end - question.place.image_begin),
        unwinder_(frozen.memory(), frozen.map()) {
    for (const HeldThread& thread : frozen.facts().held) {
      threads_.push_back(stack_of(thread, frozen));
      if (guard_ == 0)
        guard_ = frozen.memory().try_read<std::uint64_t>(thread.registers.fs_base + kGuardOffset).value_or(0);
    }
  }

  ImageReferences run() {
    if (frozen_.facts().threads_not_stopped != 0) {
      add(fmt::format("{} thread(s) in uninterruptible sleep could not be looked at",
                      frozen_.facts().threads_not_stopped),
          true);
    }
    for (ThreadLook& look : threads_) look_at_registers(look);
    read_memory();
    judge();
    return std::move(found_);
  }

 private:
  void add(std::string reason, bool passing) {
    found_.passing = found_.passing || passing;
    if (found_.reasons.size() < kMostReasons) found_.reasons.push_back(std::move(reason));
  }

  bool inside(std::uint64_t word) const { return word - begin_ < size_; }
  std::uint64_t unmangled(std::uint64_t word) const { return std::rotr(word, kGuardRotation) ^ guard_; }

  // To a function of the image, or so near behind that it may be one with marks.
  bool is_pointer(std::uint64_t value) const {
    const auto& entries = question_.image.entries();
    const std::uint64_t offset = value - begin_;
    const auto after = std::upper_bound(entries.begin(), entries.end(), offset);
    if (after == entries.begin()) return false;
    const std::uint64_t behind = offset - *std::prev(after);
    return behind == 0 || (behind < kPointerTags && !question_.image.is_return_address(offset));
  }

  std::string name(std::uint64_t value) const {
    const std::string_view name = question_.image.name_of(value - begin_);
    return name.empty() ? fmt::format("{:#x} of the agent", value - begin_) : std::string(name);
  }

  // In a system call that the C library makes: vector registers belong to whoever is called, so that no caller counts
  // on what they hold.
  bool in_library_call(const user_regs_struct& registers) const {
    const Mapping* const mapping = frozen_.map().find(registers.rip);
    if (!in_system_call(registers) || mapping == nullptr || mapping->inode == 0) return false;
    const std::string_view name = std::string_view(mapping->name).substr(mapping->name.rfind('/') + 1);
    return name.starts_with("libc.") || name.starts_with("libc-") || name.starts_with("libpthread") ||
           name.starts_with("ld-musl");
  }

  void look_at_registers(ThreadLook& look) {
    const user_regs_struct& registers = look.thread->registers;
    const pid_t tid = look.thread->tid;
    if (inside(registers.rip)) {
      look.hit = true;
      look.looked = true;
      look.passes = true;
      return;
    }
    std::array<std::uint64_t, sizeof(registers) / 8> words{};
    static_assert(sizeof(words) == sizeof(registers));
    std::memcpy(words.data(), &registers, sizeof(words));
    std::vector<std::uint64_t> all(words.begin(), words.end());
    if (!in_library_call(registers)) {
      all.resize(words.size() + look.thread->extended.size() / 8);
      std::memcpy(all.data() + words.size(), look.thread->extended.data(), look.thread->extended.size() / 8 * 8);
    }
    for (const std::uint64_t word : all) {
      if (!inside(word)) continue;
      look.hit = true;
      if (is_pointer(word)) add(fmt::format("thread {} has a pointer to {} in a register", tid, name(word)), true);
    }
  }

  void read_memory() {
    FrozenChild* const child = frozen_.child();
    WrittenPages own(child == nullptr ? 0 : child->pid());
    WrittenPages shared(question_.target);
    for (const Mapping& mapping : frozen_.map().mappings()) {
      if (mapping.name.starts_with("[v")) continue;                              // vvar, vdso, vsyscall: the kernel's
      if (mapping.begin >= begin_ && mapping.begin <= begin_ + size_) continue;  // the image, the control page
      const auto visit = [&](std::uint64_t address, std::span<const std::byte> bytes) {
        look_at_words(address, bytes);
        if (mapping.executable && mapping.inode == 0) look_at_code(address, bytes);
      };
      if (!mapping.shared) {
        own.each(mapping, frozen_.memory(), false, visit);
      } else if (mapping.writable && is_memory(mapping)) {
        shared.each(mapping, frozen_.memory(), true, visit);
      }
    }
    // What cannot be read here the process cannot read either; but a copy that was killed could not be read at all.
    std::array<std::byte, 16> bytes{};
    if (own.unreadable() != 0 && (child == nullptr || !LiveMemory(child->pid()).copy(begin_, bytes)))
      add(fmt::format("{} page(s) of its frozen copy could not be read", own.unreadable()), true);
  }

  // Shared memory, not a device or a file.
  static bool is_memory(const Mapping& mapping) {
    constexpr std::array<std::string_view, 4> kNames = {"/dev/zero", "/memfd:", "/dev/shm/", "/SYSV"};
    return std::any_of(kNames.begin(), kNames.end(),
                       [&](std::string_view name) { return mapping.name.starts_with(name); });
  }

  // Where a thread was when a signal came: its instruction pointer, flags and code segment, as they lie in a signal's
  // frame. It leads back only by way of that frame, like a return address.
  bool is_saved_context(std::uint64_t address) const {
    constexpr std::uint16_t kCode64 = 0x33;
    return frozen_.memory().try_read<std::uint16_t>(address + 16) == kCode64;
  }

  void look_at_words(std::uint64_t address, std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at + 8 <= bytes.size(); at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, sizeof(word));
      if (inside(word)) {
        hit(address + at, word, is_pointer(word) && !is_saved_context(address + at));
      } else if (inside(unmangled(word))) {
        hit(address + at, unmangled(word), true);
      }
    }
  }

  // Code that was made at run time may hold addresses anywhere, and call by distance.
  void look_at_code(std::uint64_t address, std::span<const std::byte> bytes) {
    for (std::size_t at = 0; at + 8 <= bytes.size(); ++at) {
      std::uint64_t word = 0;
      std::memcpy(&word, bytes.data() + at, sizeof(word));
      const auto distance = static_cast<std::int64_t>(static_cast<std::int32_t>(word));
      const std::uint64_t target = address + at + 4 + static_cast<std::uint64_t>(distance);
      if (at % 8 != 0 && inside(word) && is_pointer(word)) hit(address + at, word, true);
      if (inside(target) && !question_.image.name_of(target - begin_).empty()) hit(address + at, target, true);
    }
  }

  void hit(std::uint64_t address, std::uint64_t value, bool is_pointer) {
    if (hits_.size() < kMostHits) {
      hits_.push_back({address, value, is_pointer});
    } else {
      add("more words point to the agent than can be judged", false);
    }
  }

  // Whether the thread's stack passes through the image; empty: it does not unwind to its end.
  std::optional<bool> passes(ThreadLook& look) {
    if (std::exchange(look.looked, true)) return look.passes;
    const NativeStack stack = unwinder_.unwind(look.thread->registers);
    const bool through = std::any_of(stack.frames.begin(), stack.frames.end(),
                                     [&](const NativeFrame& frame) { return inside(frame.instruction); });
    if (through) {
      look.passes = true;
    } else if (stack.complete) {
      look.passes = false;
    }
    return look.passes;
  }

  void must_not_pass(ThreadLook& look) {
    const std::optional<bool> through = passes(look);
    if (through == false) return;
    add(through ? fmt::format("thread {} is inside the agent", look.thread->tid)
                : fmt::format("the stack of thread {} cannot be followed to its end", look.thread->tid),
        true);
  }

  void judge() {
    bool elsewhere = false;  // words that are no pointers, and on no stack in use
    for (const Hit& hit : hits_) {
      bool on_stack = false;
      bool dead = false;
      for (ThreadLook& look : threads_) {
        if (hit.address >= look.begin && hit.address < look.end) {
          look.hit = on_stack = true;
          if (hit.is_pointer) {
            add(fmt::format("thread {} has a pointer to {} on its stack", look.thread->tid, name(hit.value)), true);
          }
        } else if (hit.address >= look.dead_begin && hit.address < look.begin) {
          dead = true;
        }
      }
      if (on_stack || dead) continue;
      if (hit.is_pointer) {
        found_.pointers = true;
        const Mapping* const mapping = frozen_.map().find(hit.address);
        const std::string place = mapping == nullptr || mapping->name.empty() ? "" : " in " + mapping->name;
        add(fmt::format("a pointer to {} at {:#x}{}", name(hit.value), hit.address, place), false);
      } else {
        elsewhere = true;
      }
    }
    for (ThreadLook& look : threads_) {
      if (look.hit) must_not_pass(look);
    }
    if (!elsewhere) return;
    // A stack that was left by switching to another, from inside a hook, would be in none of those looked at.
    if (question_.inside != 0) add(fmt::format("{} call(s) of the agent have not ended", question_.inside), true);
    for (ThreadLook& look : threads_) {
      if (!look.hit && !look.own_stack) must_not_pass(look);
    }
  }

  FrozenProcess& frozen_;
  const ScanQuestion& question_;
  std::uint64_t begin_;
  std::uint64_t size_;
  Unwinder unwinder_;
  std::uint64_t guard_ = 0;
  std::vector<ThreadLook> threads_;
  std::vector<Hit> hits_;
  ImageReferences found_;
};

}  // namespace

ImageReferences find_references(FrozenProcess& frozen, const ScanQuestion& question) {
  return Scan(frozen, question).run();
}

}  // namespace memsnap
