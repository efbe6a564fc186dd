#include "inject/control/agent_blob.h"

#ifdef MEMSNAP_AGENT_BLOB

// Linked in as bytes, as the walker is: the program stays one file.
__asm__(
    ".pushsection .rodata\n"
    ".balign 16\n"
    "memsnap_agent_blob:\n"
    ".incbin \"" MEMSNAP_AGENT_BLOB
    "\"\n"
    "memsnap_agent_blob_end:\n"
    ".popsection\n");

extern "C" const std::byte memsnap_agent_blob[];
extern "C" const std::byte memsnap_agent_blob_end[];

namespace memsnap {

std::span<const std::byte> agent_blob() { return {memsnap_agent_blob, memsnap_agent_blob_end}; }

}  // namespace memsnap

#else

namespace memsnap {

std::span<const std::byte> agent_blob() { return {}; }

}  // namespace memsnap

#endif
