// The smallest agent that memsnap can load: it counts, and can be told to dwell in a hook. For tests of loading,
// hooking and taking out, which are the same for any agent.
#include <cstddef>

#include "inject/protocol/agent_abi.h"

#pragma GCC visibility push(default)
extern "C" {

memsnap::AgentConfig memsnap_agent_config{};
}
#pragma GCC visibility pop

namespace {

using memsnap::AgentControl;
using memsnap::AgentHeader;
using memsnap::AgentThread;

const AgentControl* control() { return reinterpret_cast<const AgentControl*>(memsnap_agent_config.control); }
AgentHeader* header() { return reinterpret_cast<AgentHeader*>(memsnap_agent_config.shared); }

// An address of something in the image: a relocation.
AgentHeader* (*volatile relocated)() = header;

AgentThread* counters() {
  const auto begin = reinterpret_cast<std::uint64_t>(relocated());
  return reinterpret_cast<AgentThread*>(begin + header()->sections.threads.offset);
}

bool recording() {
  return *const_cast<const volatile std::uint32_t*>(&control()->mode) ==
         static_cast<std::uint32_t>(memsnap::AgentMode::kRecord);
}

void add(std::uint64_t& counter, std::uint64_t value) { __atomic_fetch_add(&counter, value, __ATOMIC_RELAXED); }

void count(std::size_t size) {
  if (!recording()) return;
  add(counters()->allocations, 1);
  add(counters()->bytes, size);
  // Tests ask for it in a word that the agent does not use: the hook is held up until it is taken back.
  while (__atomic_load_n(&counters()->by_size[0], __ATOMIC_RELAXED) == size && size != 0) continue;
}

template <class F>
F* real(std::uint64_t address) {
  return reinterpret_cast<F*>(address);
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {

void* memsnap_malloc(std::size_t size) {
  count(size);
  return real<void*(std::size_t)>(memsnap_agent_config.functions.malloc)(size);
}
void memsnap_free(void* block) {
  if (recording() && block != nullptr) add(counters()->frees, 1);
  real<void(void*)>(memsnap_agent_config.functions.free)(block);
}
void* memsnap_calloc(std::size_t n, std::size_t size) {
  count(n * size);
  return real<void*(std::size_t, std::size_t)>(memsnap_agent_config.functions.calloc)(n, size);
}
void* memsnap_realloc(void* block, std::size_t size) {
  count(size);
  return real<void*(void*, std::size_t)>(memsnap_agent_config.functions.realloc)(block, size);
}
void* memsnap_dlopen(const char* name, int flags) {
  if (recording()) add(header()->dlopen_calls, 1);
  return real<void*(const char*, int)>(memsnap_agent_config.functions.dlopen)(name, flags);
}

#define MEMSNAP_DOMAIN(name, member)                                                                           \
  void* memsnap_##name##_malloc(void* context, std::size_t size) {                                             \
    count(size);                                                                                               \
    return real<void*(void*, std::size_t)>(memsnap_agent_config.member.malloc)(context, size);                 \
  }                                                                                                            \
  void* memsnap_##name##_calloc(void* context, std::size_t n, std::size_t size) {                              \
    count(n* size);                                                                                            \
    return real<void*(void*, std::size_t, std::size_t)>(memsnap_agent_config.member.calloc)(context, n, size); \
  }                                                                                                            \
  void* memsnap_##name##_realloc(void* context, void* block, std::size_t size) {                               \
    count(size);                                                                                               \
    return real<void*(void*, void*, std::size_t)>(memsnap_agent_config.member.realloc)(context, block, size);  \
  }                                                                                                            \
  void memsnap_##name##_free(void* context, void* block) {                                                     \
    real<void(void*, void*)>(memsnap_agent_config.member.free)(context, block);                                \
  }
MEMSNAP_DOMAIN(mem, domain_mem)
MEMSNAP_DOMAIN(object, domain_obj)
}
#pragma GCC visibility pop
