#pragma once

#include <cstdint>

#include "inject/protocol/heap_layout.h"
#include "inject/protocol/native_abi.h"

// What memsnap and the tracking agent inside a target tell each other: fixed-width words only.
//
// The agent is a freestanding image: no libc, no loader, no thread-local storage. memsnap maps it, and a shared memory
// of which it keeps the descriptor, so that the tables can be read at any moment and outlive the target. What the agent
// writes there is hostile input to the reader.
//
// One stack is a path in a trie: thread -> outermost frame -> ... -> innermost frame -> allocator. The last node of it,
// of kind allocator, is the "site": live blocks and counts are kept for sites.
namespace memsnap {

inline constexpr std::uint64_t kAgentMagic = 0x31746e6567616d53;  // "Smagent1"
inline constexpr std::uint32_t kAgentAbiVersion = 2;
inline constexpr const char* kAgentName = "memsnap-agent";  // of the memfd, by which a later memsnap finds it

// The function a block came from. Reports use the names of allocator_name().
enum class Allocator : std::uint8_t {
  kMalloc,
  kCalloc,
  kRealloc,
  kPosixMemalign,
  kAlignedAlloc,
  kMemalign,
  kValloc,
  kPvalloc,
  kNew,  // C++ operator new of a library that does not call malloc for it
  kMmap,
  kPymallocMalloc,  // CPython's domains MEM and OBJ, blocks of up to 512 bytes: larger ones come from malloc
  kPymallocCalloc,
  kPymallocRealloc,
  kCount,
};

// Words of AgentNode::code that are no index into the codes.
inline constexpr std::uint32_t kNodeThread = 0xffffffff;       // instruction: index of the thread record
inline constexpr std::uint32_t kNodeAllocator = 0xfffffffe;    // instruction: Allocator
inline constexpr std::uint32_t kNodeNativeFrame = 0xfffffffd;  // instruction: a return address in native code
inline constexpr std::uint32_t kNodeCut = 0xfffffffc;          // frames further out were left away (depth limit)
inline constexpr std::uint32_t kNodeSpecial = 0xfffffff0;      // from here on

struct AgentNode {
  std::uint32_t parent;       // 0: none; node 0 is not used
  std::uint32_t code;         // index of an AgentCode, or one of kNode...
  std::uint64_t instruction;  // raw, as the frame has it: an address (3.11+), or f_lasti (to 3.10)
};

// Of a site, since tracking began. Written by the site's own thread only, but for the shared thread record 0.
struct AgentCounts {
  std::uint64_t count;      // in 256ths: a sampled block stands for more than one
  std::uint64_t bytes;      // scaled likewise, whole bytes
  std::uint64_t samples;    // blocks that were seen; equals count / 256 when every block is recorded
  std::uint64_t temporary;  // in 256ths: freed before the next allocation of the same thread
};

// A code object, copied when it was first seen. Texts are three pieces one after the other at `text`: file name,
// qualified name, line table; each in its own unit size.
struct AgentCode {
  std::uint64_t address;      // of the code object; may be used again by another: then there are two records
  std::uint64_t code_start;   // of its instructions (3.11+), 0 before
  std::uint64_t fingerprint;  // the agent's own: tells it from another that had this address
  std::uint64_t text;         // offset in the texts
  std::uint32_t file_length, name_length, table_length;  // in units; cut at kAgentTextMost bytes
  std::uint8_t file_unit, name_unit;                     // bytes a character: 1, 2, 4; 0: could not be read
  std::uint8_t table_unit;
  std::uint8_t ready;  // 1: all of this is written
  std::int32_t first_line;
};
inline constexpr std::uint32_t kAgentTextMost = 64u << 10;

inline constexpr std::uint32_t kAgentSizeClasses = 48;  // of sizes 2^(n-1) to 2^n - 1; 0: empty

// Record 0 is shared by all threads beyond the table.
struct AgentThread {
  std::uint32_t tid;
  std::uint32_t state;                       // 0: free, 1: in use
  std::uint32_t node;                        // its node in the trie
  std::uint32_t inside;                      // greater than 0 while a hook runs
  std::uint64_t control_block;               // where it is; 0: not known
  std::uint64_t allocations, frees, bytes;   // all that passed, sampled or not; bytes asked for. A reallocation is both
  std::uint64_t by_size[kAgentSizeClasses];  // NOLINT(modernize-avoid-c-arrays): plain words
  std::uint64_t by_allocator[static_cast<std::uint32_t>(Allocator::kCount)];        // NOLINT(modernize-avoid-c-arrays)
  std::uint64_t bytes_by_allocator[static_cast<std::uint32_t>(Allocator::kCount)];  // NOLINT(modernize-avoid-c-arrays)
  // What recording costs: of some calls (with sampling, of every sample) the ticks of the time stamp counter.
  std::uint64_t timed_calls, timed_ticks;
};

// A live block: a word in the shadow of the 16 bytes where it begins. 0: none.
inline constexpr unsigned kSlotSizeBits = 38;
inline constexpr std::uint64_t kSlotSizeMask = (1ull << kSlotSizeBits) - 1;  // larger blocks are recorded as this
constexpr std::uint64_t slot_word(std::uint32_t site, std::uint64_t size) {
  return static_cast<std::uint64_t>(site) << kSlotSizeBits | (size > kSlotSizeMask ? kSlotSizeMask : size);
}
constexpr std::uint32_t slot_site(std::uint64_t word) { return static_cast<std::uint32_t>(word >> kSlotSizeBits); }
constexpr std::uint64_t slot_size(std::uint64_t word) { return word & kSlotSizeMask; }
inline constexpr std::uint32_t kMostSites = 1u << 26;

// The shadow: roots[address >> 20] is the number of a leaf, 0 none; a leaf has one word for each 16 bytes of its MiB.
inline constexpr unsigned kLeafShift = 20;
inline constexpr std::uint32_t kRootCount = 1u << (47 - kLeafShift);
inline constexpr std::uint32_t kLeafWords = 1u << (kLeafShift - 4);

// One word of the target's memory that memsnap changed. Written before the change, so that it can be undone by anyone.
enum class PatchKind : std::uint32_t { kNone, kGotSlot, kAllocatorStruct };
struct AgentPatch {
  std::uint64_t address;
  std::uint64_t old_value;
  std::uint64_t new_value;
  PatchKind kind;
  std::uint32_t state;  // 1: written or about to be, 2: undone, 3: no longer ours when it was to be undone
};

struct AgentSection {
  std::uint64_t offset;    // in the shared memory, page aligned
  std::uint64_t capacity;  // items
};

// Why something was not recorded.
struct AgentLost {
  std::uint64_t no_room;       // a table is full: nodes, codes, texts, leaves
  std::uint64_t odd_address;   // beyond 2^47, or two blocks in the same 16 bytes
  std::uint64_t broken_stack;  // a chain of frames that could not be followed; recorded without a stack
  std::uint64_t mismatches;    // of a build that checks itself
  std::uint64_t native_cut;    // native stacks that could not be followed to their end; recorded as far as they could
};

// At the beginning of the shared memory. Everything up to `sections` is written by memsnap before the agent runs.
struct AgentHeader {  // NOLINT(clang-analyzer-optin.performance.Padding): counters on lines of their own
  std::uint64_t magic;
  std::uint32_t abi;
  std::uint32_t pid;         // as memsnap saw it
  std::uint64_t start_time;  // of the process, clock ticks since boot
  std::uint64_t size;        // of the shared memory
  std::uint32_t python_hex;
  std::uint32_t allocators;  // bits 1 << Allocator that are hooked
  std::uint64_t period;      // bytes between samples on average; 1: every block. An empty block is sampled as one byte
  std::uint64_t began_ns;    // since the epoch
  // Where memsnap put things in the target's address space.
  std::uint64_t image_begin, image_end;    // the agent, private
  std::uint64_t shared_begin, shared_end;  // this memory
  std::uint64_t control;                   // AgentControl, a page that forked children see as zero
  struct Sections {
    AgentSection threads;      // AgentThread
    AgentSection thread_hash;  // u64: tid << 32 | record; a power of two of them
    AgentSection scratch;      // bytes: kAgentScratch for each thread record, the agent's own
    AgentSection nodes;        // AgentNode
    AgentSection counts;       // AgentCounts, by node
    AgentSection node_hash;    // u32; a power of two of them
    AgentSection codes;        // AgentCode
    AgentSection code_hash;    // u32; a power of two of them
    AgentSection texts;        // bytes
    AgentSection roots;        // u32
    AgentSection leaves;       // kLeafWords u64 each; leaf 0 is not used
    AgentSection patches;      // AgentPatch, memsnap's own
    // Without room where no native frames are asked for.
    AgentSection rules;           // AgentRule
    AgentSection rule_ranges;     // AgentRuleRange
    AgentSection native_scratch;  // bytes: kAgentNativeScratch for each thread record, the agent's own
  } sections;
  std::uint64_t patch_count;
  // The memsnap that holds this: its pid in its own pid namespace, when it began (0: not known), and the namespace's
  // inode (0: not known).
  std::uint64_t keeper_pid;
  std::uint64_t keeper_start_time;
  std::uint64_t keeper_namespace;
  AgentNative native;
  // Written by the agent, each on a cache line of its own.
  alignas(64) std::uint32_t thread_count;
  alignas(64) std::uint32_t node_count;  // the highest number given out
  alignas(64) std::uint32_t code_count;
  alignas(64) std::uint64_t text_bytes;
  alignas(64) std::uint32_t leaf_count;
  alignas(64) std::uint64_t dlopen_calls;  // libraries may have come
  alignas(64) AgentLost lost;
  alignas(64) std::uint32_t at_exit;  // AgentExit; kGoOn is memsnap's
};
inline constexpr std::uint64_t kAgentScratch = 72u << 10;

// In the target's private memory, MADV_WIPEONFORK: all zero is "off", which is what a forked child sees. Mapped as long
// as the image is; the tables may go once the mode is off and no thread is inside the image.
struct AgentControl {
  std::uint32_t mode;       // AgentMode
  std::uint32_t depth;      // most Python frames of a stack, up to 1024; deeper stacks cost more than whole ones
  std::uint64_t lease_tsc;  // beyond this time stamp counter the agent records nothing: memsnap is gone
};
// kRecordToExit: as kRecord, and the first hook that runs when Python has begun to end waits for memsnap, which looks.
enum class AgentMode : std::uint32_t { kOff = 0, kRecord = 1, kRecordToExit = 2 };

// AgentHeader::at_exit.
enum class AgentExit : std::uint32_t { kNotYet = 0, kWaits = 1, kGoOn = 2 };

// What the agent must know, written into its image (symbol memsnap_agent_config) before the first hook is set.
// Addresses are of the target; 0: there is none.
struct AgentConfig {
  std::uint64_t shared;   // AgentHeader
  std::uint64_t control;  // AgentControl
  // What the hooks go on to.
  struct Functions {
    std::uint64_t malloc, free, calloc, realloc, reallocarray, posix_memalign, aligned_alloc, memalign, valloc, pvalloc,
        cfree, free_sized, free_aligned_sized, mmap, mmap64, munmap, mremap, dlopen, dlmopen;
    std::uint64_t new_plain, new_array, new_nothrow, new_array_nothrow, new_aligned, new_array_aligned, delete_plain,
        delete_array, delete_sized, delete_array_sized, delete_aligned, delete_array_aligned;
    // The aligned forms that do not throw: what a throwing form is served from. 0: it is passed on unrecorded.
    std::uint64_t new_aligned_nothrow, new_array_aligned_nothrow;
  } functions;
  // PyMemAllocatorEx of the domains MEM and OBJ as they were: the context is left alone.
  struct Domain {
    std::uint64_t malloc, calloc, realloc, free;
  } domain_mem, domain_obj;
  std::uint64_t thread_state;  // PyThreadState* (*)(void): the calling thread's own, with or without the GIL; see below
  std::uint64_t thread_state_released;  // asked when the first gives none (3.12+: PyGILState_GetThisThreadState)
  std::uint64_t finalizing;             // _PyRuntime's word (layout.runtime.finalizing): set when Python ends
  std::uint64_t code_type;              // PyCode_Type
  std::uint32_t tid_offset;    // of the tid in the thread control block, verified on every thread; 0: not known
  std::uint32_t native;        // 1: native frames are asked for
  std::uint64_t domains_pass;  // 1: the domains MEM and OBJ are hooked, but nothing of them is recorded
  std::uint64_t period;
  HeapLayout layout;
};

}  // namespace memsnap
