#include "snapshot/cpython/debug_offsets.h"

#include <fmt/core.h>

#include <array>
#include <cstring>
#include <limits>
#include <span>

#include "attach/base/error.h"

namespace memsnap {
namespace {

// "xdebugpy", read as a number.
constexpr std::uint64_t kCookie = 0x7970677562656478;
constexpr std::size_t kHeaderWords = 3;  // cookie, version, free_threaded

// What a word of the structure is the offset of. kSkip: nothing that a HeapLayout holds.
enum class Word : std::uint8_t {
  kSkip,
  kRuntimeSize,
  kRuntimeInterpreters,
  kInterpreterSize,
  kInterpreterId,
  kInterpreterNext,
  kInterpreterThreads,
  kInterpreterGc,
  kInterpreterModules,
  kInterpreterSysDict,
  kInterpreterBuiltins,
  kInterpreterGil,
  kThreadSize,
  kThreadNext,
  kThreadInterpreter,
  kThreadCurrentFrame,
  kThreadBaseFrame,
  kThreadId,
  kThreadNativeId,
  kFrameSize,
  kFramePrevious,
  kFrameExecutable,
  kFrameInstruction,
  kFrameLocals,
  kFrameOwner,
  kFrameStackTop,
  kCodeSize,
  kCodeFilename,
  kCodeName,
  kCodeQualname,
  kCodeLinetable,
  kCodeFirstLine,
  kCodeLocalsNames,
  kCodeLocalsKinds,
  kCodeAdaptive,
  kObjectType,
  kTypeSize,
  kTypeName,
  kTypeFlags,
  kTypeBasicSize,
  kTypeDictOffset,
  kHeapTypeSize,
  kHeapTypeCachedKeys,
  kTupleItems,
  kListItems,
  kVarSize,
  kSetTable,
  kSetMask,
  kDictKeys,
  kDictValues,
  kLongTag,
  kLongDigits,
  kBytesData,
  kTextSize,
  kTextState,
  kTextLength,
  kTextAsciiSize,
  kTextCompactSize,
  kGcCollecting,
  kGeneratorSize,
  kGeneratorName,
  kGeneratorFrame,
  kGeneratorState,
};

constexpr std::array kWords313 = {
    // runtime, interpreter, thread
    Word::kRuntimeSize, Word::kSkip, Word::kRuntimeInterpreters,  //
    Word::kInterpreterSize, Word::kInterpreterId, Word::kInterpreterNext, Word::kInterpreterThreads,
    Word::kInterpreterGc, Word::kInterpreterModules, Word::kInterpreterSysDict, Word::kInterpreterBuiltins,
    Word::kInterpreterGil, Word::kSkip, Word::kSkip, Word::kSkip, Word::kSkip,  //
    Word::kThreadSize, Word::kSkip, Word::kThreadNext, Word::kThreadInterpreter, Word::kThreadCurrentFrame,
    Word::kThreadId, Word::kThreadNativeId, Word::kSkip, Word::kSkip,
    // frame, code
    Word::kFrameSize, Word::kFramePrevious, Word::kFrameExecutable, Word::kFrameInstruction, Word::kFrameLocals,
    Word::kFrameOwner,  //
    Word::kCodeSize, Word::kCodeFilename, Word::kCodeName, Word::kCodeQualname, Word::kCodeLinetable,
    Word::kCodeFirstLine, Word::kSkip, Word::kCodeLocalsNames, Word::kCodeLocalsKinds, Word::kCodeAdaptive,
    // object, type, tuple, list, dict, float, int, bytes, str, collector
    Word::kSkip, Word::kObjectType,                                   //
    Word::kTypeSize, Word::kTypeName, Word::kSkip, Word::kTypeFlags,  //
    Word::kSkip, Word::kTupleItems, Word::kVarSize,                   //
    Word::kSkip, Word::kListItems, Word::kVarSize,                    //
    Word::kSkip, Word::kDictKeys, Word::kDictValues,                  //
    Word::kSkip, Word::kSkip,                                         //
    Word::kSkip, Word::kLongTag, Word::kLongDigits,                   //
    Word::kSkip, Word::kVarSize, Word::kBytesData,                    //
    Word::kTextSize, Word::kTextState, Word::kTextLength, Word::kTextAsciiSize, Word::kSkip, Word::kGcCollecting};

constexpr std::array kWords314 = {
    // runtime, interpreter, thread
    Word::kRuntimeSize, Word::kSkip, Word::kRuntimeInterpreters,  //
    Word::kInterpreterSize, Word::kInterpreterId, Word::kInterpreterNext, Word::kInterpreterThreads, Word::kSkip,
    Word::kInterpreterGc, Word::kInterpreterModules, Word::kInterpreterSysDict, Word::kInterpreterBuiltins,
    Word::kInterpreterGil, Word::kSkip, Word::kSkip, Word::kSkip, Word::kSkip, Word::kSkip, Word::kSkip,  //
    Word::kThreadSize, Word::kSkip, Word::kThreadNext, Word::kThreadInterpreter, Word::kThreadCurrentFrame,
    Word::kThreadId, Word::kThreadNativeId, Word::kSkip, Word::kSkip,
    // frame, code
    Word::kFrameSize, Word::kFramePrevious, Word::kFrameExecutable, Word::kFrameInstruction, Word::kFrameLocals,
    Word::kFrameOwner, Word::kFrameStackTop, Word::kSkip,  //
    Word::kCodeSize, Word::kCodeFilename, Word::kCodeName, Word::kCodeQualname, Word::kCodeLinetable,
    Word::kCodeFirstLine, Word::kSkip, Word::kCodeLocalsNames, Word::kCodeLocalsKinds, Word::kCodeAdaptive, Word::kSkip,
    // object, type, tuple, list, set, dict, float, int, bytes, str, collector, generator
    Word::kSkip, Word::kObjectType,                                   //
    Word::kTypeSize, Word::kTypeName, Word::kSkip, Word::kTypeFlags,  //
    Word::kSkip, Word::kTupleItems, Word::kVarSize,                   //
    Word::kSkip, Word::kListItems, Word::kVarSize,                    //
    Word::kSkip, Word::kSkip, Word::kSetTable, Word::kSetMask,        //
    Word::kSkip, Word::kDictKeys, Word::kDictValues,                  //
    Word::kSkip, Word::kSkip,                                         //
    Word::kSkip, Word::kLongTag, Word::kLongDigits,                   //
    Word::kSkip, Word::kVarSize, Word::kBytesData,                    //
    Word::kTextSize, Word::kTextState, Word::kTextLength, Word::kTextAsciiSize, Word::kSkip, Word::kGcCollecting,
    Word::kGeneratorSize, Word::kGeneratorName, Word::kGeneratorFrame, Word::kGeneratorState};

constexpr std::array kWords315 = {
    // runtime, interpreter, thread, exception stack
    Word::kRuntimeSize, Word::kSkip, Word::kRuntimeInterpreters,  //
    Word::kInterpreterSize, Word::kInterpreterId, Word::kInterpreterNext, Word::kInterpreterThreads, Word::kSkip,
    Word::kInterpreterGc, Word::kInterpreterModules, Word::kInterpreterSysDict, Word::kInterpreterBuiltins,
    Word::kInterpreterGil, Word::kSkip, Word::kSkip, Word::kSkip, Word::kSkip, Word::kSkip, Word::kSkip,  //
    Word::kThreadSize, Word::kSkip, Word::kThreadNext, Word::kThreadInterpreter, Word::kThreadCurrentFrame,
    Word::kThreadBaseFrame, Word::kSkip, Word::kSkip, Word::kThreadId, Word::kThreadNativeId, Word::kSkip, Word::kSkip,
    Word::kSkip, Word::kSkip, Word::kSkip, Word::kSkip,  //
    Word::kSkip,
    // frame, code
    Word::kFrameSize, Word::kFramePrevious, Word::kFrameExecutable, Word::kFrameInstruction, Word::kFrameLocals,
    Word::kFrameOwner, Word::kFrameStackTop, Word::kSkip,  //
    Word::kCodeSize, Word::kCodeFilename, Word::kCodeName, Word::kCodeQualname, Word::kCodeLinetable,
    Word::kCodeFirstLine, Word::kSkip, Word::kCodeLocalsNames, Word::kCodeLocalsKinds, Word::kCodeAdaptive, Word::kSkip,
    // object, type, heap type, tuple, list, set, dict, float, int, bytes, str, collector, generator
    Word::kSkip, Word::kObjectType,                                                                                //
    Word::kTypeSize, Word::kTypeName, Word::kSkip, Word::kTypeFlags, Word::kTypeBasicSize, Word::kTypeDictOffset,  //
    Word::kHeapTypeSize, Word::kHeapTypeCachedKeys,                                                                //
    Word::kSkip, Word::kTupleItems, Word::kVarSize,                                                                //
    Word::kSkip, Word::kListItems, Word::kVarSize,                                                                 //
    Word::kSkip, Word::kSkip, Word::kSetTable, Word::kSetMask,                                                     //
    Word::kSkip, Word::kDictKeys, Word::kDictValues,                                                               //
    Word::kSkip, Word::kSkip,                                                                                      //
    Word::kSkip, Word::kLongTag, Word::kLongDigits,                                                                //
    Word::kSkip, Word::kVarSize, Word::kBytesData,                                                                 //
    Word::kTextSize, Word::kTextState, Word::kTextLength, Word::kTextAsciiSize, Word::kTextCompactSize, Word::kSkip,
    Word::kGcCollecting, Word::kSkip, Word::kSkip, Word::kSkip, Word::kGeneratorSize, Word::kGeneratorName,
    Word::kGeneratorFrame, Word::kGeneratorState};

std::span<const Word> words_of(PyVersion version) {
  if (version.major() != 3) return {};
  switch (version.minor()) {
    case 13:
      return kWords313;
    case 14:
      return kWords314;
    case 15:
      return kWords315;
    default:
      return {};
  }
}

// The field of `layout` that a word belongs to: one of the two pointers, or none.
struct Place {
  std::uint16_t* narrow = nullptr;
  std::uint32_t* wide = nullptr;
};

Place place_in_state(HeapLayout& layout, Word word) {
  switch (word) {
    case Word::kRuntimeSize:
      return {.wide = &layout.runtime.size};
    case Word::kRuntimeInterpreters:
      return {.wide = &layout.runtime.interpreters_head};
    case Word::kInterpreterSize:
      return {.wide = &layout.interpreter.size};
    case Word::kInterpreterId:
      return {.wide = &layout.interpreter.id};
    case Word::kInterpreterNext:
      return {.wide = &layout.interpreter.next};
    case Word::kInterpreterThreads:
      return {.wide = &layout.interpreter.threads_head};
    case Word::kInterpreterGc:
      return {.wide = &layout.interpreter.gc};
    case Word::kInterpreterModules:
      return {.wide = &layout.interpreter.modules};
    case Word::kInterpreterSysDict:
      return {.wide = &layout.interpreter.sysdict};
    case Word::kInterpreterBuiltins:
      return {.wide = &layout.interpreter.builtins};
    case Word::kInterpreterGil:
      return {.wide = &layout.gil.in_interpreter};
    case Word::kGcCollecting:
      return {.narrow = &layout.interpreter.gc_collecting};
    case Word::kThreadSize:
      return {.narrow = &layout.thread.size};
    case Word::kThreadNext:
      return {.narrow = &layout.thread.next};
    case Word::kThreadInterpreter:
      return {.narrow = &layout.thread.interp};
    case Word::kThreadCurrentFrame:
      return {.narrow = &layout.thread.current_frame};
    case Word::kThreadBaseFrame:
      return {.narrow = &layout.thread.base_frame};
    case Word::kThreadId:
      return {.narrow = &layout.thread.thread_id};
    case Word::kThreadNativeId:
      return {.narrow = &layout.thread.native_thread_id};
    default:
      return {};
  }
}

Place place_in_frame(HeapLayout& layout, Word word) {
  switch (word) {
    case Word::kFrameSize:
      return {.narrow = &layout.frame.size};
    case Word::kFramePrevious:
      return {.narrow = &layout.frame.previous};
    case Word::kFrameExecutable:
      return {.narrow = &layout.frame.executable};
    case Word::kFrameInstruction:
      return {.narrow = &layout.frame.instr};
    case Word::kFrameLocals:
      return {.narrow = &layout.frame.localsplus};
    case Word::kFrameOwner:
      return {.narrow = &layout.frame.owner};
    case Word::kFrameStackTop:
      return {.narrow = &layout.frame.stack_top};
    case Word::kCodeSize:
      return {.narrow = &layout.code.size};
    case Word::kCodeFilename:
      return {.narrow = &layout.code.co_filename};
    case Word::kCodeName:
      return {.narrow = &layout.code.co_name};
    case Word::kCodeQualname:
      return {.narrow = &layout.code.co_qualname};
    case Word::kCodeLinetable:
      return {.narrow = &layout.code.co_linetable};
    case Word::kCodeFirstLine:
      return {.narrow = &layout.code.co_firstlineno};
    case Word::kCodeLocalsNames:
      return {.narrow = &layout.code.co_localsplusnames};
    case Word::kCodeLocalsKinds:
      return {.narrow = &layout.code.co_localspluskinds};
    case Word::kCodeAdaptive:
      return {.narrow = &layout.code.co_code_adaptive};
    case Word::kGeneratorSize:
      return {.narrow = &layout.generator.size};
    case Word::kGeneratorName:
      return {.narrow = &layout.generator.name};
    case Word::kGeneratorFrame:
      return {.narrow = &layout.generator.frame};
    case Word::kGeneratorState:
      return {.narrow = &layout.generator.frame_state};
    default:
      return {};
  }
}

Place place_in_object(HeapLayout& layout, Word word) {
  switch (word) {
    case Word::kObjectType:
      return {.narrow = &layout.object.ob_type};
    case Word::kVarSize:
      return {.narrow = &layout.object.ob_size};
    case Word::kTypeSize:
      return {.narrow = &layout.type.size};
    case Word::kTypeName:
      return {.narrow = &layout.type.tp_name};
    case Word::kTypeFlags:
      return {.narrow = &layout.type.tp_flags};
    case Word::kTypeBasicSize:
      return {.narrow = &layout.type.tp_basicsize};
    case Word::kTypeDictOffset:
      return {.narrow = &layout.type.tp_dictoffset};
    case Word::kHeapTypeSize:
      return {.narrow = &layout.type.heap_size};
    case Word::kHeapTypeCachedKeys:
      return {.narrow = &layout.type.ht_cached_keys};
    case Word::kTupleItems:
      return {.narrow = &layout.sequence.tuple_items};
    case Word::kListItems:
      return {.narrow = &layout.sequence.list_items};
    case Word::kBytesData:
      return {.narrow = &layout.sequence.bytes_data};
    case Word::kSetTable:
      return {.narrow = &layout.set.table};
    case Word::kSetMask:
      return {.narrow = &layout.set.mask};
    case Word::kDictKeys:
      return {.narrow = &layout.dict.ma_keys};
    case Word::kDictValues:
      return {.narrow = &layout.dict.ma_values};
    case Word::kLongTag:
      return {.narrow = &layout.integer.tag};
    case Word::kLongDigits:
      return {.narrow = &layout.integer.digits};
    case Word::kTextSize:
      return {.narrow = &layout.text.full_size};
    case Word::kTextState:
      return {.narrow = &layout.text.state};
    case Word::kTextLength:
      return {.narrow = &layout.text.length};
    case Word::kTextAsciiSize:
      return {.narrow = &layout.text.ascii_size};
    case Word::kTextCompactSize:
      return {.narrow = &layout.text.compact_size};
    default:
      return {};
  }
}

Place place_of(HeapLayout& layout, Word word) {
  for (const auto find : {place_in_state, place_in_frame, place_in_object}) {
    const Place place = find(layout, word);
    if (place.narrow || place.wide) return place;
  }
  return {};
}

// _PyRuntime and the interpreter state are some 300 KB; a hostile offset must not make arithmetic wrap.
constexpr std::uint64_t kWideLimit = 1u << 26;

}  // namespace

std::optional<DebugOffsets> read_debug_offsets(const ProcessMemory& memory, std::uint64_t runtime) {
  const auto header = memory.try_read<std::array<std::uint64_t, kHeaderWords>>(runtime);
  if (!header || (*header)[0] != kCookie || (*header)[1] > std::numeric_limits<std::uint32_t>::max())
    return std::nullopt;

  DebugOffsets offsets{.version = PyVersion(static_cast<std::uint32_t>((*header)[1])),
                       .free_threaded = (*header)[2] != 0};
  offsets.words.resize(words_of(offsets.version).size());
  if (!memory.copy(runtime + sizeof(*header), std::as_writable_bytes(std::span(offsets.words)))) return std::nullopt;
  return offsets;
}

void overlay(const DebugOffsets& offsets, HeapLayout& layout) {
  const auto meanings = words_of(offsets.version);
  for (std::size_t i = 0; i < meanings.size() && i < offsets.words.size(); ++i) {
    const Place place = place_of(layout, meanings[i]);
    const std::uint64_t offset = offsets.words[i];
    if (place.narrow && offset <= std::numeric_limits<std::uint16_t>::max()) {
      *place.narrow = static_cast<std::uint16_t>(offset);
    } else if (place.wide && offset <= kWideLimit) {
      *place.wide = static_cast<std::uint32_t>(offset);
    } else if (place.narrow || place.wide) {
      throw Error(ExitCode::kUnsupported,
                  fmt::format("the debug offsets of this CPython {} are damaged: word {} is {:#x}",
                              offsets.version.text(), i + kHeaderWords, offset),
                  "the process may have overwritten its own memory, or it is a modified CPython");
    }
  }
}

}  // namespace memsnap
