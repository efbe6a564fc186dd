#pragma once

#include <cstdint>

#include "inject/agent/image.h"
#include "inject/agent/thread_cache.h"

namespace memsnap::agent {

enum class FrameForm : std::uint32_t { kUnknown, kObjects, kAt8And56, kAt48And56, kAnywhere };  // see frames.h

// Where everything is in the shared memory: taken from its header once, by whoever records first.
struct Tables {
  void (*record)(ThreadCache& self, std::uint64_t block, std::uint64_t size, Allocator allocator);  // see recorder.cpp
  AgentHeader* header;
  AgentThread* threads;
  std::uint64_t* thread_hash;  // null until all the others are set
  std::uint64_t thread_mask;
  std::uint64_t thread_capacity;
  std::uint64_t scratch;
  AgentNode* nodes;
  AgentCounts* counts;
  std::uint64_t node_capacity;
  std::uint32_t* node_hash;
  std::uint64_t node_mask;
  AgentCode* codes;
  std::uint64_t code_capacity;
  std::uint32_t* code_hash;
  std::uint64_t code_mask;
  std::uint64_t texts;
  std::uint64_t text_capacity;
  std::uint32_t* roots;
  std::uint64_t root_count;
  std::uint64_t* leaves;
  std::uint64_t leaf_capacity;
  std::uint64_t period;
  AgentRule* rules;
  std::uint64_t rule_capacity;
  AgentRuleRange* ranges;
  std::uint64_t range_capacity;
  std::uint64_t native_scratch;
  std::uint32_t depth;
  // Blocks of Python's domains from these sizes on come from malloc, as was seen, whose own hook records them.
  std::uint64_t mem_from_malloc, object_from_malloc;
  FrameForm frame_form;
  bool native;  // native frames are recorded
  bool exact;   // every block is recorded
  // Python may make a code object without a stack being taken then: its memory comes from a domain that is not hooked.
  bool codes_unseen;
};
extern constinit Tables tables;  // NOLINT(bugprone-dynamic-static-initializers)

inline void compiler_barrier() { asm volatile("" ::: "memory"); }

inline std::uint64_t mixed(std::uint64_t value) {
  value ^= value >> 32;
  value *= 0x9e3779b97f4a7c15ull;
  return value ^ value >> 29;
}

template <class T>
T load_acquire(const T* from) {
  return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}
template <class T>
void store_release(T* to, T value) {
  __atomic_store_n(to, value, __ATOMIC_RELEASE);
}
template <class T>
void add_relaxed(T* to, T value) {
  __atomic_fetch_add(to, value, __ATOMIC_RELAXED);
}

// The next number of a counter in the header, from 1 on; 0: the table is full, which is counted.
template <class T>
T next_number(T* counter, std::uint64_t capacity) {
  if (__atomic_load_n(counter, __ATOMIC_RELAXED) + 1 < capacity) {
    const T number = __atomic_add_fetch(counter, T{1}, __ATOMIC_RELAXED);
    if (number < capacity) return number;
    __atomic_fetch_sub(counter, T{1}, __ATOMIC_RELAXED);
  }
  add_relaxed(&tables.header->lost.no_room, std::uint64_t{1});
  return 0;
}

inline std::uint32_t thread_id() {
  if (config.tid_offset != 0) [[likely]] {
    std::uint32_t tid = 0;
    asm("movl %%fs:(%1), %0" : "=r"(tid) : "r"(static_cast<std::uint64_t>(config.tid_offset)));
    return tid;
  }
  constexpr std::uint64_t kGettid = 186;
  std::uint64_t result = 0;
  asm volatile("syscall" : "=a"(result) : "0"(kGettid) : "rcx", "r11", "memory");
  return static_cast<std::uint32_t>(result);
}

// Of the calling thread, by the convention that its first word is its own address; 0: not known.
inline std::uint64_t control_block() {
  std::uint64_t self = 0;
  if (config.tid_offset != 0) asm("movq %%fs:0, %0" : "=r"(self));
  return self;
}

// The slow half of this_thread(): opens the tables, makes a record. Null: nothing can be recorded.
[[gnu::noinline, gnu::cold]] ThreadCache* new_thread(std::uint32_t tid);

inline ThreadCache* cache_of(std::uint64_t record) {
  auto* const cache = reinterpret_cast<ThreadCache*>(tables.scratch + record * kAgentScratch);
  if (cache == nullptr) __builtin_unreachable();
  return cache;
}

// Only while recording() is true.
inline ThreadCache* this_thread() {
  const std::uint32_t tid = thread_id();
  if (tables.thread_hash == nullptr) [[unlikely]]
    return new_thread(tid);
  const std::uint64_t entry = load_acquire(tables.thread_hash + (tid & tables.thread_mask));
  if (entry >> 32 != tid) [[unlikely]]
    return new_thread(tid);
  return cache_of(entry & 0xffffffff);
}

// Ends recording when memsnap has not been heard of. For slow paths.
inline void check_lease() {
  const std::uint64_t lease = control().lease_tsc;
  if (lease != ~std::uint64_t{0} && __builtin_ia32_rdtsc() > lease) [[unlikely]]
    control().mode = static_cast<std::uint32_t>(AgentMode::kOff);
}

}  // namespace memsnap::agent
