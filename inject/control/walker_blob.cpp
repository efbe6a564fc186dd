#include "inject/control/walker_blob.h"

// The blob is linked in as bytes: the program stays one file.
__asm__(
    ".pushsection .rodata\n"
    ".balign 16\n"
    "memsnap_walker_blob:\n"
    ".incbin \"" MEMSNAP_WALKER_BLOB
    "\"\n"
    "memsnap_walker_blob_end:\n"
    ".popsection\n");

extern "C" const std::byte memsnap_walker_blob[];
extern "C" const std::byte memsnap_walker_blob_end[];

namespace memsnap {

std::span<const std::byte> walker_blob() { return {memsnap_walker_blob, memsnap_walker_blob_end}; }

}  // namespace memsnap
