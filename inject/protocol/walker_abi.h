#pragma once

#include <cstdint>

#include "inject/protocol/heap_layout.h"

// What memsnap and the walker inside the frozen child tell each other: fixed-width words only. The child never holds
// the graph: it streams records into two buffers that memsnap drains, so its memory is bounded (a visited bitmap of
// 1/128 of the heap, plus kStackWords and the buffers).
namespace memsnap {

inline constexpr std::uint32_t kWalkerAbiVersion = 1;

// What an object is made of: decides which structural knowledge applies, and how its size is computed.
enum class TypeKind : std::uint16_t {
  kUnknown = 0,  // not yet resolved
  kNotAType,     // a word that looked like a type pointer and is not: objects of it are counted as unreadable
  kGeneric,      // tp_traverse, members and instance dict only; size is basicsize + items
  kLeaf,         // holds no references, size is basicsize
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
  // Only the sizes of these are special: walked as kGeneric is.
  kProduct,       // itertools.product
  kCombinations,  // itertools.combinations and combinations_with_replacement
  kPermutations,  // itertools.permutations
  kSimpleQueue,   // _queue.SimpleQueue, 3.15+
};

enum TypeFlag : std::uint32_t {
  kTypeHasGc = 1u << 0,         // Py_TPFLAGS_HAVE_GC
  kTypeIsHeap = 1u << 1,        // Py_TPFLAGS_HEAPTYPE
  kTypeManagedDict = 1u << 2,   // Py_TPFLAGS_MANAGED_DICT (3.11+)
  kTypeInlineValues = 1u << 3,  // Py_TPFLAGS_INLINE_VALUES (3.13+)
  kTypeManagedWeak = 1u << 4,   // Py_TPFLAGS_MANAGED_WEAKREF (3.12+)
  kTypeIsMetatype = 1u << 5,    // Py_TPFLAGS_TYPE_SUBCLASS
  kTypeNoTraverse = 1u << 6,    // blamed for a fault, a loop, a system call: walked structurally from then on
  kTypeScanWords = 1u << 7,  // no GC, fields unknown: words between the header and basicsize are tested conservatively
  kTypeExact = 1u << 8,      // the kind's own type, not a subclass of it
  kTypeStructural = 1u << 10,   // structural knowledge sees every reference of it: tp_traverse is not run
  kTypePythonSizeof = 1u << 9,  // __sizeof__ written in Python: not run, listed
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
  std::uint32_t base_size;   // basicsize of the nearest static base: where a subclass's own fields begin
  std::int32_t dict_offset;  // tp_dictoffset
  std::int32_t weaklist_offset;
  std::uint32_t member_begin;  // into the member table
  std::uint16_t member_count;
  TypeKind kind;
  // kStructSequence: number of fields, hidden ones too. kDict: 1 for ctypes' StgDict (to 3.12). kType: for a metatype
  // of ctypes (3.13+) the offset of StgInfo in the type object. kLeaf, kGeneric, kBytes: bytes that numpy scalars count
  // beyond basicsize, or kSizedByObSize.
  std::uint32_t extra;
};

inline constexpr std::uint32_t kSizedByObSize = 0xffffffff;

// An object reference at a fixed offset of an instance: from tp_members (__slots__ of heap types too).
struct MemberRecord {
  std::uint32_t offset;
  std::uint32_t name;  // id in the snapshot's string table, > 0
};

enum class EdgeKind : std::uint8_t {
  kNone = 0,  // found by tp_traverse, no name known
  kItem,      // element of a sequence or set: the n-th kItem edge has index n (NULL elements are not counted)
  kKey,       // dict key; the kValue edge of the same entry follows at once
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
// An edge is one word: address in bits 0-47, EdgeKind or WordKind in bits 48-55, bit 63: a name word follows, which is
// the address of a str object for kAttribute, kLocal and kCell, else a string id. Edges before kTraversed come from
// structural knowledge, those after it from tp_traverse, which repeats some of the first. Records may span buffers.
inline constexpr std::uint64_t kEdgeAddressMask = (1ull << 48) - 1;
inline constexpr unsigned kEdgeKindShift = 48;
inline constexpr std::uint64_t kEdgeNamed = 1ull << 63;

enum class WordKind : std::uint8_t {
  kTraversed = 0xf0,  // what follows comes from tp_traverse
  kDeferred,   // not an edge: a visited object that did not fit the child's stack; memsnap hands it back as a seed
  kAbandoned,  // written by memsnap: the record was cut short by a fault; forget it
  kOrphan,     // not in a record: an unvisited object found by the orphan scan
};

enum ObjectFlag : std::uint32_t {
  kObjectTracked = 1u << 0,     // in a collector's list
  kObjectSynthetic = 1u << 1,   // not a Python object: thread state, interpreter frame; not counted
  kObjectStructural = 1u << 2,  // tp_traverse failed or could not be run: walked structurally
  kObjectPermanent = 1u << 3,   // in the permanent generation
};

// Names the walker itself gives to edges: ids 1... of the snapshot's string table, in this order.
enum class FieldName : std::uint32_t {
  kNone = 0,
  kDict,
  kGlobals,
  kBuiltins,
  kCode,
  kDefaults,
  kKwDefaults,
  kClosure,
  kModule,
  kName,
  kQualname,
  kDoc,
  kAnnotations,
  kBase,
  kBases,
  kMro,
  kCache,
  kSubclasses,
  kSlots,
  kCoCode,
  kCoConsts,
  kCoNames,
  kCoVarNames,
  kCoFreeVars,
  kCoCellVars,
  kCoLocalsPlusNames,
  kCoLocalsPlusKinds,
  kCoFilename,
  kCoName,
  kCoQualname,
  kCoLineTable,
  kCoExceptionTable,
  kCoCached,
  kFrameBack,
  kFrameCode,
  kFrameGlobals,
  kFrameBuiltins,
  kFrameLocals,
  kFrameFunction,
  kFrameObject,
  kCellContents,
  kGeneratorFrame,
  kTzInfo,
  kStart,
  kStop,
  kStep,
  kArrayBase,
  kArrayType,
  kDescrType,
  kReferent,
  kFrame,
  kGreenletFrame,
  kCount
};
// NOLINTNEXTLINE(modernize-avoid-c-arrays): for the walker, which has no library
inline constexpr const char* kFieldNames[] = {"",
                                              "__dict__",
                                              "__globals__",
                                              "__builtins__",
                                              "__code__",
                                              "__defaults__",
                                              "__kwdefaults__",
                                              "__closure__",
                                              "__module__",
                                              "__name__",
                                              "__qualname__",
                                              "__doc__",
                                              "__annotations__",
                                              "__base__",
                                              "__bases__",
                                              "__mro__",
                                              "tp_cache",
                                              "tp_subclasses",
                                              "__slots__",
                                              "co_code",
                                              "co_consts",
                                              "co_names",
                                              "co_varnames",
                                              "co_freevars",
                                              "co_cellvars",
                                              "co_localsplusnames",
                                              "co_localspluskinds",
                                              "co_filename",
                                              "co_name",
                                              "co_qualname",
                                              "co_linetable",
                                              "co_exceptiontable",
                                              "co_cached",
                                              "f_back",
                                              "f_code",
                                              "f_globals",
                                              "f_builtins",
                                              "f_locals",
                                              "f_funcobj",
                                              "frame_obj",
                                              "cell_contents",
                                              "gi_frame",
                                              "tzinfo",
                                              "start",
                                              "stop",
                                              "step",
                                              "base",
                                              "dtype",
                                              "__objclass__",
                                              "referent",
                                              "frame",
                                              "gr_frame"};
static_assert(sizeof(kFieldNames) / sizeof(kFieldNames[0]) == static_cast<unsigned>(FieldName::kCount));

enum class WalkerTrap : std::uint64_t {
  kNone = 0,
  kDone,         // stack, seeds and lists are exhausted: more seeds, or the end
  kBufferFull,   // the current buffer was filled; give the other one
  kUnknownType,  // argument: address of a type that is not in the table
};

// What the child is doing, so that a fault can be blamed and the walk go on behind it.
enum class WalkerPhase : std::uint64_t {
  kIdle = 0,
  kList,      // following a collector's list
  kScan,      // structural knowledge, sizes
  kTraverse,  // foreign code: tp_traverse or tp_is_gc of the current object
  kOrphans,
};

struct AddressRange {
  std::uint64_t begin;
  std::uint64_t end;
};

// One page of the child's memory that both sides read and write, always while the child is stopped.
struct WalkerControl {
  // Written by memsnap.
  std::uint64_t directory;  // kDirectoryWords words: for each GiB the address of its visited bitmap, 0: nothing mapped
  std::uint64_t types;      // TypeRecord[type_mask + 1], open addressing by address
  std::uint64_t type_mask;
  std::uint64_t members;  // MemberRecord[]
  std::uint64_t out;      // next free word of the current buffer
  std::uint64_t out_end;
  std::uint64_t stack;  // kStackWords words
  std::uint64_t seeds;  // addresses of objects to begin with
  std::uint64_t seed_count;
  std::uint64_t seed_next;
  std::uint64_t heads;  // addresses of collector list heads
  std::uint64_t head_count;
  std::uint64_t head_next;
  std::uint64_t permanent_head;  // index into heads, or ~0
  std::uint64_t ranges;          // AddressRange[]: where to look for orphans
  std::uint64_t range_count;
  std::uint64_t range_next;
  std::uint64_t code_type;       // PyCode_Type
  std::uint64_t running_frames;  // interpreter frames of running calls, ascending
  std::uint64_t running_count;
  std::uint64_t rescan;  // seeds are scanned even when visited (objects deferred before)
  // Written by the child.
  std::uint64_t stack_used;
  std::uint64_t current;     // object being scanned, 0: none
  std::uint64_t list_node;   // collector's list: next node to follow, 0: begin with heads[head_next]
  std::uint64_t list_steps;  // nodes followed in this list, and Brent's mark that ends a cycle
  std::uint64_t list_mark;
  std::uint64_t progress;  // objects and list nodes done so far
  std::uint64_t phase;     // WalkerPhase
  std::uint64_t trap;      // WalkerTrap
  std::uint64_t trap_argument;
  std::uint64_t dropped;  // references to what cannot be an object, and objects whose type is none
  HeapLayout layout;
};

inline constexpr std::uint64_t kStackWords = 1u << 20;
inline constexpr std::uint64_t kDirectoryWords = 1u << 17;  // one entry for each GiB of the 47-bit address space
inline constexpr std::uint64_t kBitmapBytes = 1ull << 23;   // one bit for each 16 bytes of a GiB

// Slot of a type in an open addressing table.
inline constexpr std::uint64_t type_slot(std::uint64_t address, std::uint64_t mask) {
  return ((address >> 4) * 0x9e3779b97f4a7c15ull >> 32) & mask;
}

}  // namespace memsnap
