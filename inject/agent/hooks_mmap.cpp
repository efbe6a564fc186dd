// Anonymous memory asked for by mmap. What a file is mapped to is no allocation.
#include <cstddef>

#include "inject/agent/recorder.h"

namespace memsnap::agent {
namespace {

constexpr int kMapFixed = 0x10;
constexpr int kMapAnonymous = 0x20;
constexpr int kRemapFixed = 2;
constexpr int kRemapDontUnmap = 4;

bool failed(const void* mapping) { return mapping == reinterpret_cast<const void*>(~std::uintptr_t{0}); }

inline void* map(std::uint64_t function, void* address, std::size_t length, int protection, int flags, int file,
                 long offset) {
  auto* const call = function_at<void*(void*, std::size_t, int, int, int, long)>(function);
  ThreadCache* const self = enter();
  if (self == nullptr) return call(address, length, protection, flags, file, offset);
  void* const mapping = call(address, length, protection, flags, file, offset);
  if (!failed(mapping)) {
    if ((flags & kMapFixed) != 0) unmapped(mapping, length);
    if ((flags & kMapAnonymous) != 0) allocated(self, mapping, length, Allocator::kMmap);
  }
  leave(self);
  return mapping;
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void* memsnap_mmap(void* address, std::size_t length, int protection, int flags, int file, long offset) {
  return map(config.functions.mmap, address, length, protection, flags, file, offset);
}

void* memsnap_mmap64(void* address, std::size_t length, int protection, int flags, int file, long offset) {
  return map(config.functions.mmap64, address, length, protection, flags, file, offset);
}

int memsnap_munmap(void* address, std::size_t length) {
  if (recording()) {
    ThreadCache* const self = enter_recording();
    const std::uint64_t gone = unmapped(address, length);
    if (self != nullptr) self->record->frees += gone;
    leave(self);
  }
  return function_at<int(void*, std::size_t)>(config.functions.munmap)(address, length);
}

// The fifth argument is given only with MREMAP_FIXED; else the register is passed on with whatever it holds.
void* memsnap_mremap(void* address, std::size_t old_length, std::size_t length, int flags, void* target) {
  auto* const call = function_at<void*(void*, std::size_t, std::size_t, int, void*)>(config.functions.mremap);
  ThreadCache* const self = enter();
  if (self == nullptr) return call(address, old_length, length, flags, target);
  const std::uint64_t word = released(self, address);
  void* const mapping = call(address, old_length, length, flags, target);
  if (failed(mapping) || (flags & kRemapDontUnmap) != 0) restore(address, word);
  if (!failed(mapping)) {
    if ((flags & kRemapFixed) != 0) unmapped(mapping, length);
    if (word != 0) allocated(self, mapping, length, Allocator::kMmap);
  }
  leave(self);
  return mapping;
}

}  // extern "C"
#pragma GCC visibility pop

}  // namespace memsnap::agent
