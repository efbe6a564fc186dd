#pragma once

#include <cstdint>

#include "inject/protocol/agent_abi.h"

// What the image itself holds. An image without a loader and without thread-local storage has only globals to keep
// state in: these and `tables` are all there are. Private memory: a forked child has them, and does not look.
namespace memsnap::agent {

#ifdef MEMSNAP_AGENT_CHECK
inline constexpr bool kChecksStacks = true;
#else
inline constexpr bool kChecksStacks = false;
#endif

// Exported as memsnap_agent_config. The second name is hidden, so that it is reached without a global offset table.
extern constinit AgentConfig config asm("memsnap_agent_config_words");  // NOLINT(bugprone-dynamic-static-initializers)

inline volatile AgentControl& control() { return *reinterpret_cast<volatile AgentControl*>(config.control); }

// Only where there is something to see in this mode: Python has begun to end, and memsnap wants to see it as it is
// then.
[[gnu::noinline, gnu::cold]] void look_for_exit();

inline bool is_on() { return control().mode != static_cast<std::uint32_t>(AgentMode::kOff); }

// What every hook asks first. False in a forked child, whose control page is zero and whose tables are not mapped.
inline bool recording() {
  if (control().mode == static_cast<std::uint32_t>(AgentMode::kRecord)) [[likely]]
    return true;
  if (!is_on()) return false;
  look_for_exit();
  return true;
}

template <class F>
F* function_at(std::uint64_t address) {
  return reinterpret_cast<F*>(address);
}

}  // namespace memsnap::agent
