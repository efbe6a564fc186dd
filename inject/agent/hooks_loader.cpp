// Libraries that may have come. ld.so looks at its caller's return address, so nothing of ours may stay on the stack:
// these hooks count and jump. memsnap sees the count and hooks the newcomers from outside.
#include "inject/agent/image.h"

namespace memsnap::agent {
namespace {

inline void count_call() {
  if (!recording()) return;
  auto* const header = reinterpret_cast<AgentHeader*>(config.shared);
  __atomic_fetch_add(&header->dlopen_calls, 1, __ATOMIC_RELAXED);
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void* memsnap_dlopen(const char* file, int flags) {
  count_call();
  return function_at<void*(const char*, int)>(config.functions.dlopen)(file, flags);
}

void* memsnap_dlmopen(long scope, const char* file, int flags) {
  count_call();
  return function_at<void*(long, const char*, int)>(config.functions.dlmopen)(scope, file, flags);
}

}  // extern "C"
#pragma GCC visibility pop

}  // namespace memsnap::agent
