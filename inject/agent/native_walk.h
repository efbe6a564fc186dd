#pragma once

#include <cstdint>

#include "inject/agent/native_cache.h"

// The native stack of the calling thread, by the rules that memsnap has made. Nothing is called, and no word is read
// that does not lie between the stack pointer and the end of the thread's own stack.
namespace memsnap::agent {

// The frame that called the hook which is at work now. May be called from anywhere in the image.
NativeFrame caller_of_hook();

// Brings the frames of `cache` up to date. Returns how many of them, from the outermost on, are as they were.
std::uint32_t refresh_native(NativeCache& cache, const NativeFrame& innermost);

}  // namespace memsnap::agent
