#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attach/memory_map.h"
#include "attach/process_memory.h"
#include "inject/control/agent_image.h"
#include "inject/protocol/agent_abi.h"

namespace memsnap {

// A word through which a library calls one of hooked_functions().
struct GotSlot {
  std::uint64_t address = 0;
  std::uint64_t value = 0;   // what it held
  std::size_t function = 0;  // index in hooked_functions()
};

// All such words of a process, and what they lead to.
struct GotPlan {
  AgentConfig::Functions real{};
  std::vector<GotSlot> slots;          // ascending, each once
  std::uint32_t allocators = 0;        // bits 1 << Allocator that these slots bring
  std::size_t libraries = 0;           // that were looked at, the program among them
  std::size_t foreign = 0;             // words that lead neither to the real function nor to the loader: left alone
  std::uint64_t loader = 0;            // loader_record(), for libraries_loaded()
  std::uint64_t libraries_loaded = 0;  // then
  std::string allocator;               // path of the library whose malloc it is
};

struct GotWishes {
  std::vector<bool> functions;  // by index in hooked_functions()
  std::uint64_t ours_begin = 0;
  std::uint64_t ours_end = 0;  // words that lead there are hooked already
};

// Reads the link map and the dynamic sections of all libraries from a process that may be running. Left out are the
// loader, the C library, and the library that malloc is from: what they do among themselves is theirs. Throws Error
// kUnsupported when there is no link map or no malloc (a static program).
GotPlan plan_got(pid_t pid, const MemoryMap& map, const ProcessMemory& memory, const GotWishes& wishes);

// All words of all libraries that refer to one of hooked_functions(), whatever they hold.
std::vector<GotSlot> function_words(pid_t pid, const MemoryMap& map, const ProcessMemory& memory);

// Words that lead into an agent's image, and what they held or would hold by now, from that image alone: for a process
// of which no journal is left. In the tables of libraries, and where CPython's allocator structs can be.
std::vector<AgentPatch> hooked_words(pid_t pid, const MemoryMap& map, const ProcessMemory& memory,
                                     std::uint64_t image_begin, const AgentImage& image);

// What the loader would take over from lazy binding, or has bound already: the only words that are hooked.
bool may_hook(const GotSlot& slot, std::uint64_t present, std::uint64_t real);

}  // namespace memsnap
