#pragma once

#include <cstdint>

#include "inject/protocol/heap_layout.h"

// What memsnap and the walker inside the frozen child tell each other: fixed-width words only. The child never holds the
// graph: it streams records into two buffers that memsnap drains, so its memory is bounded (a visited bitmap of 1/128 of
// the heap, plus kStackWords and the buffers).
namespace memsnap {

inline constexpr std::uint32_t kWalkerAbiVersion = 1;

// What an object is made of: decides which structural knowledge applies, and how its size is computed.
enum class TypeKind : std::uint16_t {
  kUnknown = 0,   // not yet resolved
  kNotAType,      // a word that looked like a type pointer and is not: objects of it are counted as unreadable
  kGeneric,       // tp_traverse, members and instance dict only; size is basicsize + items
  kLeaf,          // holds no references, size is basicsize
  kText,
  kBytes,
  kByteArray,
  kInteger,
  kList,
  kTuple,
  kStructSequence,
  kDict,
  kOrderedDict,
  kSet,
  kType,
  kCode,
  kFunction,
  kModule,
  kFrame,
  kGenerator,  // also coroutine, async_generator
  kCell,
  kDeque,
  kArray,
  kMemoryView,
  kBytesIo,
  kStringIo,
  kBuffered,  // BufferedReader, BufferedWriter, BufferedRandom
  kDecimal,
  kStruct,
  kWeakReference,
  kRange,
  kSlice,
  kDateTime,  // datetime and time: tzinfo behind hastzinfo
  kPattern,
  kMatch,
  kDescriptor,  // method, member, getset, wrapper descriptors: d_type, d_name, d_qualname
  kPickler,
  kUnpickler,
  kElement,  // xml.etree
  kNumpyArray,
  kGreenlet,
  kDictKeysView,
  kThreadState,       // synthetic: PyThreadState, not an object
  kInterpreterFrame,  // synthetic: _PyInterpreterFrame of a running call, 3.11+
};

enum TypeFlag : std::uint32_t {
  kTypeHasGc = 1u << 0,          // Py_TPFLAGS_HAVE_GC
  kTypeIsHeap = 1u << 1,         // Py_TPFLAGS_HEAPTYPE
  kTypeManagedDict = 1u << 2,    // Py_TPFLAGS_MANAGED_DICT (3.11+)
  kTypeInlineValues = 1u << 3,   // Py_TPFLAGS_INLINE_VALUES (3.13+)
  kTypeManagedWeak = 1u << 4,    // Py_TPFLAGS_MANAGED_WEAKREF (3.12+)
  kTypeIsMetatype = 1u << 5,     // Py_TPFLAGS_TYPE_SUBCLASS
  kTypeNoTraverse = 1u << 6,     // blamed for a fault, a loop, a system call: walked structurally from then on
  kTypeScanWords = 1u << 7,      // no GC, fields unknown: words between the header and basicsize are tested conservatively
  kTypeExact = 1u << 8,          // the kind's own type, not a subclass of it
  kTypePythonSizeof = 1u << 9,   // __sizeof__ written in Python: not run, listed
};

// One type, in a table the child reads. Resolved and verified outside, by snapshot/cpython.
struct TypeRecord {
  std::uint64_t address;      // 0: empty slot of the table
  std::uint64_t traverse;     // tp_traverse, 0: none
  std::uint64_t is_gc;        // tp_is_gc, 0: none
  std::uint64_t cached_keys;  // ht_cached_keys: names of instance values; 0: none
  std::uint32_t id;           // index in the snapshot's type table
  std::uint32_t flags;        // TypeFlag
  std::uint32_t basic_size;
  std::uint32_t item_size;
  std::uint32_t base_size;    // basicsize of the nearest static base: where a subclass's own fields begin
  std::int32_t dict_offset;   // tp_dictoffset
  std::int32_t weaklist_offset;
  std::uint32_t member_begin;  // into the member table
  std::uint16_t member_count;
  TypeKind kind;
  std::uint32_t extra;  // kStructSequence: number of fields, hidden ones too
};

// An object reference at a fixed offset of an instance: from tp_members (__slots__ of heap types too).
struct MemberRecord {
  std::uint32_t offset;
  std::uint32_t name;  // id in the snapshot's string table, > 0
};

enum class EdgeKind : std::uint8_t {
  kNone = 0,   // found by tp_traverse, no name known
  kItem,       // element of a sequence or set: the n-th kItem edge has index n (NULL elements are not counted)
  kKey,        // dict key; the kValue edge of the same entry follows at once
  kValue,
  kAttribute,  // instance attribute: value of an instance dict kept inline, or __slots__ entry
  kLocal,      // local variable of a frame or suspended generator
  kCell,       // closure variable: from the function to the cell
  kField,      // field of a C struct: __globals__, __code__, tp_base ...
  kClass,      // the object's type, heap types only
  kWeak,       // weakref to its referent: shown, never followed, does not retain
  kStack,      // evaluation stack of a frame
};

// The stream: for each object  address | size | type id << 32 | object flags | edges... | 0
// An edge is one word: address in bits 0-47, EdgeKind in bits 48-55, bit 63: a name word follows. The name word is a string id
// below 2^32, or the address of a str object. Records may span buffers.
inline constexpr std::uint64_t kEdgeAddressMask = (1ull << 48) - 1;
inline constexpr std::uint64_t kEdgeKindShift = 48;
inline constexpr std::uint64_t kEdgeNamed = 1ull << 63;
// Instead of an address: an object that did not fit the child's stack; memsnap hands it back as a seed.
inline constexpr std::uint64_t kDeferred = 1ull << 63;

enum ObjectFlag : std::uint32_t {
  kObjectTracked = 1u << 0,      // in a collector's list
  kObjectTraversed = 1u << 1,    // tp_traverse ran to its end
  kObjectSynthetic = 1u << 2,    // not a Python object: thread state, interpreter frame; not counted
  kObjectStructural = 1u << 3,   // traverse failed, walked structurally
  kObjectOrphan = 1u << 4,       // found by the orphan scan only
  kObjectPermanent = 1u << 5,    // in the permanent generation
};

enum class WalkerTrap : std::uint64_t {
  kNone = 0,
  kNeedSeeds,    // all work done: more seeds, or end
  kBufferFull,   // the current buffer was filled; give the other one
  kUnknownType,  // argument: address of a type not in the table
  kTableFull,    // the type table needs to grow
};

inline constexpr std::uint64_t kStackWords = 1u << 20;
inline constexpr std::uint64_t kDirectoryWords = 1u << 17;  // one entry for each GiB of the 47-bit address space

}  // namespace memsnap
