#include "inject/agent/recorder.h"

#include "inject/agent/sampler.h"
#include "inject/agent/stack_trie.h"
#include "inject/agent/stack_walk.h"

namespace memsnap::agent {

constinit std::uint8_t filter[kFilterSize]{};  // NOLINT(modernize-avoid-c-arrays): no library here

namespace {

constexpr std::uint64_t kWhole = 256;  // of AgentCounts: one block

void count_in_filter(std::uint64_t address, int step) {
  std::uint8_t& entry = filter_of(address);
  std::uint8_t old = __atomic_load_n(&entry, __ATOMIC_RELAXED);
  while (old != 255 && (step > 0 || old != 0) &&
         !__atomic_compare_exchange_n(&entry, &old, static_cast<std::uint8_t>(old + step), false, __ATOMIC_RELAXED,
                                      __ATOMIC_RELAXED)) {
  }
}

// The node of an allocation below that of its stack. 0: no room, and the block is not to be recorded.
[[gnu::always_inline]] inline std::uint32_t site_below(ThreadCache& self, std::uint32_t node, Allocator allocator) {
  const std::uint32_t key = node << 4 | static_cast<std::uint32_t>(allocator);
  static_assert(kMostSites << 4 != 0 && static_cast<std::uint32_t>(Allocator::kCount) <= 16);
  ThreadCache::KnownSite& known = self.known_sites[(node ^ key << 5) % kKnownSites];
  if (known.key == key) [[likely]]
    return known.site;
  const std::uint32_t site = node == 0 ? 0 : node_of(node, kNodeAllocator, static_cast<std::uint64_t>(allocator));
  if (site != 0) known = {.key = key, .site = site};
  return site;
}

[[gnu::always_inline]] inline ThreadCache::Place& place_of(ThreadCache& self, std::uint64_t key, std::uint32_t parent,
                                                           Allocator allocator) {
  static_assert(kKnownPlaces == 1u << (64 - 56));
  const std::uint64_t below = static_cast<std::uint64_t>(parent) << 4 | static_cast<std::uint64_t>(allocator);
  return self.places[(key ^ below << 24) * 0x9e3779b97f4a7c15ull >> 56];
}

template <class Frames>
[[gnu::noinline]] std::uint32_t new_site(ThreadCache& self, std::uint64_t top, Allocator allocator) {
  const std::uint32_t node = new_stack<Frames>(self, top);
  const std::uint32_t site = site_below(self, node, allocator);
  const std::uint32_t at = self.frame_count;
  const Frames frames(config.layout);
  if (site == 0 || at == 0 || !frames.is_python(top)) return site;
  const std::uint64_t key = frames.key(top);
  const std::uint32_t parent = self.node[at - 1];
  place_of(self, key, parent, allocator) = {.key = key,
                                            .fingerprint = frames.fingerprint(top),
                                            .parent = parent,
                                            .allocator = static_cast<std::uint32_t>(allocator),
                                            .node = node,
                                            .site = site};
  return site;
}

// Of nearly every allocation the chain of frames is known, and the instruction it is at, too.
template <class Frames>
[[gnu::always_inline]] inline std::uint32_t known_site(ThreadCache& self, std::uint64_t top, Allocator allocator) {
  const Frames frames(config.layout);
  const std::uint32_t at = known_frame(self, frames, top);
  if (at == 0) return new_site<Frames>(self, top, allocator);
  const std::uint64_t key = frames.key(top);
  if (self.known[at].key == key) {
    self.frame_count = at;
    return site_below(self, self.node[at], allocator);
  }
  const std::uint32_t parent = self.node[at - 1];
  const ThreadCache::Place& place = place_of(self, key, parent, allocator);
  if (place.key != key || place.parent != parent || place.allocator != static_cast<std::uint32_t>(allocator) ||
      place.fingerprint != frames.fingerprint(top))
    return new_site<Frames>(self, top, allocator);
  self.frame_count = at;
  self.known[at].key = key;
  self.node[at] = place.node;
  if (tables.codes_unseen) self.code_mark[at] = place.fingerprint;
  return place.site;
}

template <class Frames>
[[gnu::always_inline]] inline std::uint32_t python_site(ThreadCache& self, Allocator allocator) {
  const std::uint64_t top = innermost_frame();
  if (top == 0 || tables.depth == 0) return site_below(self, self.node[0], allocator);
  if (tables.codes_unseen) forget_other_codes(self, Frames(config.layout), top);
  const std::uint32_t site = known_site<Frames>(self, top, allocator);
  if (kChecksStacks && site != 0 && stack_from_nothing<Frames>(self, top) != tables.nodes[site].parent)
    add_relaxed(&tables.header->lost.mismatches, std::uint64_t{1});
  return site;
}

std::uint32_t site_of(ThreadCache& self, Allocator allocator) {
  if (tables.native) return site_below(self, merged_stack_node(self), allocator);
  switch (tables.frame_form) {
    case FrameForm::kAt8And56:
      return python_site<FramesAt<8, 56>>(self, allocator);
    case FrameForm::kAt48And56:
      return python_site<FramesAt<48, 56>>(self, allocator);
    case FrameForm::kObjects:
      return python_site<ObjectFrames>(self, allocator);
    case FrameForm::kAnywhere:
      return python_site<FramesAnywhere>(self, allocator);
    case FrameForm::kUnknown:
      break;
  }
  // The first stacks of a program that was caught before its interpreter was there.
  if (innermost_frame() == 0) return site_below(self, self.node[0], allocator);
  choose_recorder();
  return tables.frame_form == FrameForm::kUnknown ? 0 : site_of(self, allocator);
}

// Adds up the time till its end. What takes longer than this was interrupted.
class Timed {
 public:
  explicit Timed(AgentThread& thread) : thread_(thread), began_(__builtin_ia32_rdtsc()) {}
  ~Timed() {
    const std::uint64_t ticks = __builtin_ia32_rdtsc() - began_;
    if (ticks > kMost) return;
    thread_.timed_calls += 1;
    thread_.timed_ticks += ticks;
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  static constexpr std::uint64_t kMost = 1u << 20;
  AgentThread& thread_;
  std::uint64_t began_;
};

void count(ThreadCache& self, std::uint32_t site, std::uint64_t address, const Weight& weight) {
  AgentCounts& counts = tables.counts[site];
  counts.count += weight.count;
  counts.bytes += weight.bytes;
  counts.samples += 1;
  self.last_block = address;
}

std::uint64_t system_call(std::uint64_t number, std::uint64_t argument) {
  std::uint64_t result = 0;
  asm volatile("syscall" : "=a"(result) : "0"(number), "D"(argument), "S"(0) : "rcx", "r11", "memory");
  return result;
}

// Gives the node of an allocation by the calling thread; 0: no room, and the block is not to be recorded.
using SiteOf = std::uint32_t(ThreadCache& self, Allocator allocator);

template <SiteOf site_of>
[[gnu::always_inline]] inline void record_block(ThreadCache& self, std::uint64_t block, std::uint64_t size,
                                                Allocator allocator) {
  self.last_block = 0;
  const std::uint32_t site = site_of(self, allocator);
  if (site == 0 || !put(block, slot_word(site, size))) [[unlikely]]
    return;
  count(self, site, block, {.count = kWhole, .bytes = size});
}

[[gnu::noinline, gnu::cold]] void record_timed(ThreadCache& self, std::uint64_t block, std::uint64_t size,
                                               Allocator allocator) {
  check_lease();
  const Timed timed(*self.record);
  record_block<site_of>(self, block, size, allocator);
}

template <SiteOf site_of>
void record(ThreadCache& self, std::uint64_t block, std::uint64_t size, Allocator allocator) {
  constexpr std::uint64_t kTimedOneIn = 256;
  if (self.record->allocations % kTimedOneIn == 0) [[unlikely]]
    return record_timed(self, block, size, allocator);
  record_block<site_of>(self, block, size, allocator);
}

}  // namespace

// Each form has a recorder of its own, so that nothing is asked in it that is known beforehand.
void choose_recorder() {
  tables.frame_form = frame_form_of(config.layout);
  tables.record = record<site_of>;
  if (tables.native) return;
  if (tables.frame_form == FrameForm::kAt8And56) tables.record = record<python_site<FramesAt<8, 56>>>;
  if (tables.frame_form == FrameForm::kAt48And56) tables.record = record<python_site<FramesAt<48, 56>>>;
  if (tables.frame_form == FrameForm::kObjects) tables.record = record<python_site<ObjectFrames>>;
}

void record_sample(ThreadCache& self, std::uint64_t block, std::uint64_t size, Allocator allocator) {
  check_lease();
  const Timed timed(*self.record);
  self.countdown = draw(self.random, tables.period);
  self.frame_count = 0;  // what was allocated since the last sample was not seen: see forget_other_codes
  const std::uint32_t site = site_of(self, allocator);
  if (site == 0 || !put(block, slot_word(site, size))) return;
  count_in_filter(block, 1);
  count(self, site, block, weight_of(size, tables.period));
}

std::uint64_t take_sample(ThreadCache* self, std::uint64_t block) {
  const std::uint64_t word = take(block);
  if (word == 0) return 0;
  count_in_filter(block, -1);
  if (self != nullptr && self->last_block == block) count_temporary(*self, word);
  return word;
}

void count_temporary(ThreadCache& self, std::uint64_t word) {
  self.last_block = 0;
  if (word == 0) return;
  const std::uint64_t weight = tables.exact ? kWhole : weight_of(slot_size(word), tables.period).count;
  tables.counts[slot_site(word)].temporary += weight;
}

void put_back(std::uint64_t block, std::uint64_t word) {
  if (put(block, word) && !tables.exact) count_in_filter(block, 1);
}

// Every mapping begins with a page, so only the first word of each page is looked at.
std::uint64_t unmapped(const void* mapping, std::size_t length) {
  constexpr std::uint64_t kPage = 4096;
  constexpr std::uint64_t kLeafSize = 1ull << kLeafShift;
  const std::uint64_t most = tables.root_count << kLeafShift;
  const std::uint64_t begin = address_of(mapping);
  const std::uint64_t end = length < most && begin < most - length ? begin + length : most;
  std::uint64_t gone = 0;
  for (std::uint64_t page = begin & ~(kPage - 1); page < end;) {
    if (slot_of(page) == nullptr) {
      page = (page | (kLeafSize - 1)) + 1;
      continue;
    }
    const bool may_be = tables.exact || filter_of(page) != 0;
    if (may_be && (tables.exact ? take(page) : take_sample(nullptr, page)) != 0) ++gone;
    page += kPage;
  }
  return gone;
}

// By then functions registered with atexit have run and threads were joined; modules are still whole.
void look_for_exit() {
  struct Time {
    std::int64_t seconds, nanoseconds;
  };
  constexpr Time kMoment{0, 500'000};
  constexpr std::uint64_t kNanosleep = 35;
  constexpr std::uint64_t kParent = 110;
  if (config.finalizing == 0 || *reinterpret_cast<volatile std::uint64_t*>(config.finalizing) == 0) return;
  auto* const header = reinterpret_cast<AgentHeader*>(config.shared);
  auto state = static_cast<std::uint32_t>(AgentExit::kNotYet);
  __atomic_compare_exchange_n(&header->at_exit, &state, static_cast<std::uint32_t>(AgentExit::kWaits), false,
                              __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  while (is_on() && load_acquire(&header->at_exit) == static_cast<std::uint32_t>(AgentExit::kWaits)) {
    if (system_call(kParent, 0) != header->keeper_pid) {  // memsnap has started this program, and is gone
      return store_release(&header->at_exit, static_cast<std::uint32_t>(AgentExit::kGoOn));
    }
    system_call(kNanosleep, reinterpret_cast<std::uint64_t>(&kMoment));
    check_lease();
  }
}

}  // namespace memsnap::agent
