// CPython's domains MEM and OBJ: stand-ins for the four functions of a PyMemAllocatorEx, whose context is left alone.
#include <cstddef>

#include "inject/agent/recorder.h"

namespace memsnap::agent {
namespace {

using Domain = AgentConfig::Domain;

// Larger blocks, and empty ones, pymalloc asks malloc for: its hook records them. An allocator of the program's own may
// begin at another size, or never ask.
constexpr std::size_t kMostOfPymalloc = 512;
bool is_small(std::size_t size) { return size - 1 < kMostOfPymalloc; }

// Not where they are hooked for the sake of the moment at which Python begins to end.
inline bool recording_objects() { return recording() && config.domains_pass == 0; }

template <class... Arguments>
[[gnu::noinline]] void* allocate_large(std::uint64_t function, std::uint64_t& from_malloc, Allocator allocator,
                                       std::size_t size, Arguments... arguments) {
  const Passed before = passed();
  void* const block = function_at<void*(Arguments...)>(function)(arguments...);
  if (block == nullptr) return block;
  if (passed().from_malloc != before.from_malloc) {
    if (size != 0 && size < from_malloc) from_malloc = size;
  } else if (ThreadCache* const self = enter()) {  // no hook has counted
    allocated(self, block, size, allocator);
    leave(self);
  }
  return block;
}

template <class... Arguments>
inline void* allocate(std::uint64_t function, std::uint64_t& from_malloc, Allocator allocator, std::size_t size,
                      Arguments... arguments) {
  auto* const call = function_at<void*(Arguments...)>(function);
  if (!recording_objects()) return call(arguments...);
  if (!is_small(size)) {
    if (size >= from_malloc) return call(arguments...);
    return allocate_large(function, from_malloc, allocator, size, arguments...);
  }
  ThreadCache* const self = enter_recording();
  if (self == nullptr) return call(arguments...);
  void* const block = call(arguments...);
  if (block != nullptr) allocated(self, block, size, allocator);
  leave(self);
  return block;
}

// The block was small, and pymalloc takes it back itself; or large, and realloc's hook is called, which counts it.
inline void* reallocate_large(std::uint64_t function, std::uint64_t& from_malloc, void* context, void* block,
                              std::size_t size) {
  const std::uint64_t word = block == nullptr ? 0 : forgotten(this_thread(), block);
  const Passed before = passed();
  void* const moved = allocate_large(function, from_malloc, Allocator::kPymallocRealloc, size, context, block, size);
  if (moved == nullptr) {
    restore(block, word);
  } else if (block != nullptr && passed().frees == before.frees) {
    if (ThreadCache* const self = enter()) {
      self->record->frees += 1;
      leave(self);
    }
  }
  return moved;
}

// These functions never take a block and return null: null is a failure, and the block lives on.
inline void* reallocate(std::uint64_t function, std::uint64_t& from_malloc, void* context, void* block,
                        std::size_t size) {
  auto* const call = function_at<void*(void*, void*, std::size_t)>(function);
  if (!recording_objects()) return call(context, block, size);
  ThreadCache* const self = enter_recording();
  if (self != nullptr && !is_small(size)) {
    leave(self);
    return reallocate_large(function, from_malloc, context, block, size);
  }
  const std::uint64_t word = released(self, block);
  void* const moved = call(context, block, size);
  if (moved == nullptr) {
    restore(block, word);
  } else if (self != nullptr) {
    allocated(self, moved, size, Allocator::kPymallocRealloc);
  }
  leave(self);
  return moved;
}

// The mark stays on during the call: a large block goes on to free, which must not count it again.
inline void release(std::uint64_t function, void* context, void* block) {
  auto* const call = function_at<void(void*, void*)>(function);
  if (!recording_objects()) return call(context, block);
  ThreadCache* const self = enter_recording();
  released(self, block);
  call(context, block);
  leave(self);
}

std::size_t product(std::size_t count, std::size_t size) {
  std::size_t result = 0;
  return __builtin_mul_overflow(count, size, &result) ? SIZE_MAX : result;
}

const Domain& mem() { return config.domain_mem; }
const Domain& object() { return config.domain_obj; }

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void* memsnap_mem_malloc(void* context, std::size_t size) {
  return allocate(mem().malloc, tables.mem_from_malloc, Allocator::kPymallocMalloc, size, context, size);
}

void* memsnap_mem_calloc(void* context, std::size_t count, std::size_t size) {
  return allocate(mem().calloc, tables.mem_from_malloc, Allocator::kPymallocCalloc, product(count, size), context,
                  count, size);
}

void* memsnap_mem_realloc(void* context, void* block, std::size_t size) {
  return reallocate(mem().realloc, tables.mem_from_malloc, context, block, size);
}

void memsnap_mem_free(void* context, void* block) { release(mem().free, context, block); }

void* memsnap_object_malloc(void* context, std::size_t size) {
  return allocate(object().malloc, tables.object_from_malloc, Allocator::kPymallocMalloc, size, context, size);
}

void* memsnap_object_calloc(void* context, std::size_t count, std::size_t size) {
  return allocate(object().calloc, tables.object_from_malloc, Allocator::kPymallocCalloc, product(count, size), context,
                  count, size);
}

void* memsnap_object_realloc(void* context, void* block, std::size_t size) {
  return reallocate(object().realloc, tables.object_from_malloc, context, block, size);
}

void memsnap_object_free(void* context, void* block) { release(object().free, context, block); }

}  // extern "C"
#pragma GCC visibility pop

}  // namespace memsnap::agent
