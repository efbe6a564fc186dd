// The malloc family. Each hook calls the real function and records what it gave.
#include <cstddef>

#include "inject/agent/recorder.h"

namespace memsnap::agent {
namespace {

const AgentConfig::Functions& real() { return config.functions; }

template <class... Arguments>
inline void* allocate(std::uint64_t function, Allocator allocator, std::size_t size, Arguments... arguments) {
  auto* const call = function_at<void*(Arguments...)>(function);
  ThreadCache* const self = enter();
  if (self == nullptr) return call(arguments...);
  void* const block = call(arguments...);
  if (block != nullptr) allocated(self, block, size, allocator);
  leave(self);
  return block;
}

// `size` is 0 where the real function may take the block and still return null.
template <class... Arguments>
inline void* reallocate(std::uint64_t function, void* block, std::size_t size, Arguments... arguments) {
  auto* const call = function_at<void*(void*, Arguments...)>(function);
  if (!recording()) return call(block, arguments...);
  ThreadCache* const self = enter_recording();
  const std::uint64_t word = released(self, block);
  void* const moved = call(block, arguments...);
  if (moved == nullptr && size != 0) {
    restore(block, word);
  } else if (moved != nullptr && self != nullptr) {
    allocated(self, moved, size, Allocator::kRealloc);
  }
  leave(self);
  return moved;
}

template <class... Arguments>
inline void release(std::uint64_t function, void* block, Arguments... arguments) {
  if (recording()) {
    ThreadCache* const self = enter_recording();
    released(self, block);
    leave(self);
  }
  return function_at<void(void*, Arguments...)>(function)(block, arguments...);
}

// One that overflows is of an allocation that fails: any number but 0 will do.
std::size_t product(std::size_t count, std::size_t size) {
  std::size_t result = 0;
  return __builtin_mul_overflow(count, size, &result) ? SIZE_MAX : result;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void* memsnap_malloc(std::size_t size) { return allocate(real().malloc, Allocator::kMalloc, size, size); }

void memsnap_free(void* block) { release(real().free, block); }

void memsnap_cfree(void* block) { release(real().cfree, block); }

void memsnap_free_sized(void* block, std::size_t size) { release(real().free_sized, block, size); }

void memsnap_free_aligned_sized(void* block, std::size_t alignment, std::size_t size) {
  release(real().free_aligned_sized, block, alignment, size);
}

void* memsnap_calloc(std::size_t count, std::size_t size) {
  return allocate(real().calloc, Allocator::kCalloc, product(count, size), count, size);
}

void* memsnap_realloc(void* block, std::size_t size) { return reallocate(real().realloc, block, size, size); }

void* memsnap_reallocarray(void* block, std::size_t count, std::size_t size) {
  return reallocate(real().reallocarray, block, product(count, size), count, size);
}

int memsnap_posix_memalign(void** block, std::size_t alignment, std::size_t size) {
  auto* const call = function_at<int(void**, std::size_t, std::size_t)>(real().posix_memalign);
  ThreadCache* const self = enter();
  if (self == nullptr) return call(block, alignment, size);
  const int error = call(block, alignment, size);
  if (error == 0 && *block != nullptr) allocated(self, *block, size, Allocator::kPosixMemalign);
  leave(self);
  return error;
}

void* memsnap_aligned_alloc(std::size_t alignment, std::size_t size) {
  return allocate(real().aligned_alloc, Allocator::kAlignedAlloc, size, alignment, size);
}

void* memsnap_memalign(std::size_t alignment, std::size_t size) {
  return allocate(real().memalign, Allocator::kMemalign, size, alignment, size);
}

void* memsnap_valloc(std::size_t size) { return allocate(real().valloc, Allocator::kValloc, size, size); }

void* memsnap_pvalloc(std::size_t size) { return allocate(real().pvalloc, Allocator::kPvalloc, size, size); }

}  // extern "C"
#pragma GCC visibility pop

}  // namespace memsnap::agent
