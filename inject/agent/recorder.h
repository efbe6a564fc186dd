#pragma once

#include <cstddef>
#include <cstdint>

#include "inject/agent/live_table.h"
#include "inject/agent/tables.h"

// What a hook does besides calling the real function.
namespace memsnap::agent {

inline std::uint64_t address_of(const void* block) { return reinterpret_cast<std::uint64_t>(block); }

// Sampled mode: how many recorded blocks an address may be, by a hash of it. Nearly every block that is freed was not
// sampled, and this says so. 255 stays.
inline constexpr std::uint64_t kFilterSize = 1u << 16;
extern constinit std::uint8_t filter[kFilterSize];  // NOLINT: no library here, and nothing to initialise
inline std::uint8_t& filter_of(std::uint64_t address) { return filter[(address >> 4) * 0x9e3779b97f4a7c15ull >> 48]; }

// The calling thread, marked as being in a hook, or null: nothing is recorded now, or this hook was entered from a
// hook, or from a signal handler in the middle of one. Then it only passes through. The first form is for where
// recording() has just been true.
inline ThreadCache* enter_recording() {
  ThreadCache* const self = this_thread();
  if (self == nullptr) [[unlikely]]
    return nullptr;
  std::uint32_t* const inside = &self->record->inside;
  if (self->record != tables.threads) [[likely]] {
    if (*inside != 0) return nullptr;
    *inside = 1;
  } else if (__atomic_exchange_n(inside, 1u, __ATOMIC_ACQUIRE) != 0) {
    add_relaxed(&tables.header->lost.no_room, std::uint64_t{1});
    return nullptr;
  }
  compiler_barrier();
  return self;
}

inline ThreadCache* enter() { return recording() ? enter_recording() : nullptr; }

inline void leave(ThreadCache* self) {
  if (self != nullptr) store_release(&self->record->inside, 0u);
}

// Sets tables.record by the form of the interpreter's frames, which is known with the interpreter.
[[gnu::noinline, gnu::cold]] void choose_recorder();
[[gnu::noinline]] void record_sample(ThreadCache& self, std::uint64_t block, std::uint64_t size, Allocator allocator);
[[gnu::noinline]] std::uint64_t take_sample(ThreadCache* self, std::uint64_t block);
[[gnu::noinline]] void count_temporary(ThreadCache& self, std::uint64_t word);
[[gnu::noinline]] void put_back(std::uint64_t block, std::uint64_t word);

// After the real function gave a block.
inline void allocated(ThreadCache* self, const void* block, std::size_t size, Allocator allocator) {
  AgentThread& thread = *self->record;
  const unsigned bits = size == 0 ? 0 : 64 - static_cast<unsigned>(__builtin_clzll(size));
  thread.allocations += 1;
  thread.bytes += size;
  thread.by_size[bits < kAgentSizeClasses ? bits : kAgentSizeClasses - 1] += 1;
  thread.by_allocator[static_cast<unsigned>(allocator)] += 1;
  thread.bytes_by_allocator[static_cast<unsigned>(allocator)] += size;
  if (tables.exact) [[likely]]
    return tables.record(*self, address_of(block), size, allocator);
  self->last_block = 0;
  self->countdown -= static_cast<std::int64_t>(size == 0 ? 1 : size);
  if (self->countdown < 0) [[unlikely]]
    record_sample(*self, address_of(block), size, allocator);
}

// Before the real function takes a block back, for then another thread may be given it at once. `self` may be null, but
// recording() was true. Returns what `restore` needs when the block lives on after all.
inline std::uint64_t forgotten(ThreadCache* self, const void* block) {
  const std::uint64_t address = address_of(block);
  if (!tables.exact) [[unlikely]] {
    if (filter_of(address) == 0) [[likely]]
      return 0;
    return take_sample(self, address);
  }
  const std::uint64_t word = take(address);
  if (self != nullptr && self->last_block == address) count_temporary(*self, word);
  return word;
}
inline std::uint64_t released(ThreadCache* self, const void* block) {
  if (block == nullptr) return 0;
  if (self != nullptr) self->record->frees += 1;
  return forgotten(self, block);
}

inline void restore(const void* block, std::uint64_t word) {
  if (word != 0) put_back(address_of(block), word);
}

// A stretch of address space has nothing of what it held. Returns how many blocks that were.
[[gnu::noinline]] std::uint64_t unmapped(const void* mapping, std::size_t length);

// What the calling thread has counted so far: tells whether a hook of malloc was called in between. A mapping is no
// such sign: an allocator of its own (mimalloc) may have made it for many blocks.
struct Passed {
  std::uint64_t from_malloc = 0, frees = 0;
};
inline Passed passed() {
  if (!is_on()) return {};
  const ThreadCache* const self = this_thread();
  if (self == nullptr) return {};
  const auto count = [&](Allocator allocator) { return self->record->by_allocator[static_cast<unsigned>(allocator)]; };
  return {.from_malloc = count(Allocator::kMalloc) + count(Allocator::kCalloc) + count(Allocator::kRealloc),
          .frees = self->record->frees};
}

}  // namespace memsnap::agent
