// C++ operator new and delete of a library that does not call malloc for them.
#include <cstddef>

#include "inject/agent/recorder.h"

namespace memsnap::agent {
namespace {

constexpr char kNothrow = 0;  // std::nothrow_t is empty, and passed by reference

const AgentConfig::Functions& real() { return config.functions; }

// Null: the caller goes on to the real function it stands for.
template <class... Arguments>
inline void* allocate(std::uint64_t nothrow, std::size_t size, Arguments... arguments) {
  if (nothrow == 0) return nullptr;
  ThreadCache* const self = enter();
  if (self == nullptr) return nullptr;
  void* const block =
      function_at<void*(std::size_t, Arguments..., const void*)>(nothrow)(size, arguments..., &kNothrow);
  if (block != nullptr) allocated(self, block, size, Allocator::kNew);
  leave(self);
  return block;
}

// An exception must pass without a frame of ours, which no unwinder knows. So a throwing form is served by the one that
// does not throw, and only when that gave nothing it is jumped to.
template <class... Arguments>
inline void* throwing(std::uint64_t function, std::uint64_t nothrow, std::size_t size, Arguments... arguments) {
  if (void* const block = allocate(nothrow, size, arguments...)) return block;
  return function_at<void*(std::size_t, Arguments...)>(function)(size, arguments...);
}

inline void* not_throwing(std::uint64_t function, std::size_t size, const void* tag) {
  if (void* const block = allocate(function, size)) return block;
  return function_at<void*(std::size_t, const void*)>(function)(size, tag);
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

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void* memsnap_new_plain(std::size_t size) { return throwing(real().new_plain, real().new_nothrow, size); }

void* memsnap_new_array(std::size_t size) { return throwing(real().new_array, real().new_array_nothrow, size); }

void* memsnap_new_nothrow(std::size_t size, const void* tag) { return not_throwing(real().new_nothrow, size, tag); }

void* memsnap_new_array_nothrow(std::size_t size, const void* tag) {
  return not_throwing(real().new_array_nothrow, size, tag);
}

void* memsnap_new_aligned(std::size_t size, std::size_t alignment) {
  return throwing(real().new_aligned, real().new_aligned_nothrow, size, alignment);
}

void* memsnap_new_array_aligned(std::size_t size, std::size_t alignment) {
  return throwing(real().new_array_aligned, real().new_array_aligned_nothrow, size, alignment);
}

void memsnap_delete_plain(void* block) { release(real().delete_plain, block); }

void memsnap_delete_array(void* block) { release(real().delete_array, block); }

void memsnap_delete_sized(void* block, std::size_t size) { release(real().delete_sized, block, size); }

void memsnap_delete_array_sized(void* block, std::size_t size) { release(real().delete_array_sized, block, size); }

void memsnap_delete_aligned(void* block, std::size_t alignment) { release(real().delete_aligned, block, alignment); }

void memsnap_delete_array_aligned(void* block, std::size_t alignment) {
  release(real().delete_array_aligned, block, alignment);
}

}  // extern "C"
#pragma GCC visibility pop

}  // namespace memsnap::agent
