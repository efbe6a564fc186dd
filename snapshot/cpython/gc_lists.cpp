#include "snapshot/cpython/gc_lists.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "attach/base/error.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kHeaderSize = 16;  // PyGC_Head: next, prev
constexpr std::uint64_t kFlagBits = 3;     // low bits of both links are the collector's flags
constexpr std::uint64_t kAddressEnd = 1ull << 47;
constexpr std::size_t kGenerations = 3;
constexpr std::uint64_t kMaxObjects = 1ull << 36;  // a running process may add to a list as fast as it is read
constexpr std::uint64_t kLargestState = 1u << 20;
constexpr std::uint64_t kWindow = 1024;  // around the place the table says

struct Links {
  std::uint64_t next;
  std::uint64_t prev;
};

std::uint64_t untagged(std::uint64_t link) { return link & ~kFlagBits; }

// A list head may sit at any multiple of 4 (Debian's 3.13), so the bit of value 4 belongs to the address.
bool is_link(std::uint64_t link) { return link >= 4096 && untagged(link) < kAddressEnd - kHeaderSize; }

// kLinked: both neighbours are readable; kOneSided: one of them points back; kWhole: both do.
enum class Ring { kNone, kLinked, kOneSided, kWhole };

Ring ring_at(const ProcessMemory& memory, std::uint64_t head, const Links& links) {
  if (!is_link(links.next) || !is_link(links.prev)) return Ring::kNone;
  const std::uint64_t next = untagged(links.next);
  const std::uint64_t prev = untagged(links.prev);
  if ((next == head) != (prev == head)) return Ring::kNone;
  const auto first = memory.try_read<Links>(next);
  const auto last = memory.try_read<Links>(prev);
  if (!first || !last) return Ring::kNone;
  const bool forward = untagged(first->prev) == head;
  const bool backward = untagged(last->next) == head;
  if (forward && backward) return Ring::kWhole;
  return forward || backward ? Ring::kOneSided : Ring::kLinked;
}

// The copied bytes of a part of the target, read as links at any offset.
class Window {
 public:
  Window(const ProcessMemory& memory, std::uint64_t begin, std::uint64_t end) : memory_(memory), begin_(begin) {
    if (end <= begin || end - begin > kLargestState) return;
    bytes_.resize(end - begin);
    if (!memory.copy(begin, std::as_writable_bytes(std::span(bytes_)))) bytes_.clear();
  }

  std::uint64_t size() const { return bytes_.size(); }
  Ring ring(std::uint64_t offset) const {
    return offset + sizeof(Links) > size() ? Ring::kNone : ring_at(memory_, address(offset), links(offset));
  }
  bool is_empty(std::uint64_t offset) const { return untagged(links(offset).next) == address(offset); }
  std::uint64_t address(std::uint64_t offset) const { return begin_ + offset; }

 private:
  Links links(std::uint64_t offset) const {
    Links links{};
    std::memcpy(&links, bytes_.data() + offset, sizeof links);
    return links;
  }

  const ProcessMemory& memory_;
  std::uint64_t begin_;
  std::vector<char> bytes_;
};

// Three heads, one struct gc_generation apart. A thread that was stopped between two stores leaves at most one of them
// half linked; during a collection the list being collected is linked forwards only.
bool generations_at(const Window& window, std::uint64_t offset, std::uint64_t generation_size, bool lenient) {
  std::size_t whole = 0;
  for (std::size_t i = 0; i < kGenerations; ++i) {
    const Ring ring = window.ring(offset + i * generation_size);
    if (ring < (lenient ? Ring::kLinked : Ring::kOneSided)) return false;
    if (ring == Ring::kWhole) ++whole;
  }
  return whole >= kGenerations - 1;
}

// The permanent generation follows, behind at most one pointer (generation0) and its alignment.
std::optional<std::uint64_t> permanent_behind(const Window& window, std::uint64_t offset) {
  for (std::uint64_t gap = 0; gap <= 16; gap += 4)
    if (window.ring(offset + gap) == Ring::kWhole) return window.address(offset + gap);
  return std::nullopt;
}

struct Collector {
  std::uint64_t state = 0;  // the structure that holds it: the interpreter's state, or _PyRuntime
  std::uint64_t size = 0;
  std::uint64_t offset = 0;  // where the table has it
  std::string owner;
};

std::optional<GcLists> try_lists(const ProcessMemory& memory, const HeapLayout::Interpreter& layout,
                                 const Collector& collector) {
  const std::uint64_t flag = collector.state + collector.offset + layout.gc_collecting;
  const bool collecting = memory.try_read<std::int32_t>(flag).value_or(0) == 1;
  const std::uint64_t likely = collector.offset + layout.gc_generations;
  const std::uint64_t begin = collector.state + (likely > kWindow ? likely - kWindow : 0);
  const std::uint64_t end = std::min(collector.state + collector.size, collector.state + likely + kWindow);
  const std::uint64_t far_end = collector.state + std::min(collector.size, kLargestState);
  for (const bool lenient : {false, true}) {
    if (lenient && !collecting) break;
    auto lists = scan_gc_lists(memory, begin, end, layout.gc_generation_size, lenient);
    if (!lists) lists = scan_gc_lists(memory, collector.state, far_end, layout.gc_generation_size, lenient);
    if (!lists) continue;
    lists->collecting = collecting;
    return lists;
  }
  return std::nullopt;
}

GcLists lists_of(const ProcessMemory& memory, const PythonProcess& python, const Collector& collector) {
  // A running process changes its lists between two reads; a still one gives the same answer each time.
  constexpr int kAttempts = 4;
  for (int attempt = 0; attempt < kAttempts; ++attempt)
    if (auto lists = try_lists(memory, python.layout.interpreter, collector)) return *std::move(lists);
  throw Error(
      ExitCode::kUnsupported,
      fmt::format("the collector's lists of {} of CPython {} are not rings", collector.owner, python.version.text()),
      "the process may be changing them just now: try again; else it is a modified CPython");
}

}  // namespace

std::optional<GcLists> scan_gc_lists(const ProcessMemory& memory, std::uint64_t begin, std::uint64_t end,
                                     std::uint64_t generation_size, bool lenient) {
  const Window window(memory, begin, end);
  const std::uint64_t all = kGenerations * generation_size;
  for (std::uint64_t offset = 0; offset + all <= window.size(); offset += 4) {
    if (!generations_at(window, offset, generation_size, lenient)) continue;
    GcLists lists;
    lists.permanent = permanent_behind(window, offset + all);
    if (!lists.permanent) continue;
    for (std::size_t i = 0; i < kGenerations; ++i) lists.heads.push_back(window.address(offset + i * generation_size));
    return lists;
  }
  return std::nullopt;
}

std::vector<GcLists> find_gc_lists(const ProcessMemory& memory, const PythonProcess& python,
                                   const std::vector<InterpreterState>& interpreters) {
  const HeapLayout& layout = python.layout;
  if (layout.runtime.gc != 0)
    return {lists_of(memory, python, {python.runtime, layout.runtime.size, layout.runtime.gc, "the process"})};
  std::vector<GcLists> all;
  all.reserve(interpreters.size());
  for (const InterpreterState& interpreter : interpreters)
    all.push_back(lists_of(memory, python,
                           {interpreter.address, layout.interpreter.size, layout.interpreter.gc,
                            fmt::format("interpreter {}", interpreter.id)}));
  return all;
}

TrackedWalk for_each_tracked(const ProcessMemory& memory, std::uint64_t head,
                             const std::function<void(std::uint64_t object)>& visit) {
  TrackedWalk walk;
  auto link = memory.try_read<std::uint64_t>(head);
  // Brent's way of noticing a circle that does not come back to the head: no memory, and at most twice the circle's
  // length.
  std::uint64_t milestone = head;
  std::uint64_t next_milestone = 64;
  while (link && is_link(*link) && walk.objects < kMaxObjects) {
    const std::uint64_t item = untagged(*link);
    if (item == head) {
      walk.complete = true;
      return walk;
    }
    if (item == milestone) return walk;
    if (walk.objects == next_milestone) {
      milestone = item;
      next_milestone *= 2;
    }
    ++walk.objects;
    visit(item + kHeaderSize);
    link = memory.try_read<std::uint64_t>(item);
  }
  return walk;
}

}  // namespace memsnap
