#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "inject/protocol/agent_abi.h"

namespace memsnap {

// What a group of functions is hooked for.
enum class HookGroup : std::uint8_t { kMalloc, kMap, kLoad, kNew };

// A function of the target that the agent takes the place of.
struct HookedFunction {
  std::string_view symbol;  // as libraries refer to it
  std::string_view hook;    // the agent's, without "memsnap_"
  HookGroup group;
  std::uint64_t AgentConfig::Functions::*real;
  std::uint32_t allocators;  // bits 1 << Allocator that it brings
};
std::span<const HookedFunction> hooked_functions();

// A function pointer of CPython's PyMemAllocatorEx; the first word of that struct is its context.
struct HookedMethod {
  std::string_view name;
  std::uint64_t offset;
  std::uint64_t AgentConfig::Domain::*real;
};
std::span<const HookedMethod> hooked_methods();

// A domain of CPython's allocators.
struct HookedDomain {
  std::string_view prefix;  // of the agent's functions for it
  AgentConfig::Domain AgentConfig::*functions;
};
std::span<const HookedDomain> hooked_domains();

inline std::string hook_symbol(std::string_view hook) { return std::string("memsnap_").append(hook); }

}  // namespace memsnap
