#include "snapshot/cpython/type_kinds.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "snapshot/cpython/object_reader.h"

namespace memsnap {
namespace {

struct KnownType {
  std::string_view name;
  TypeKind kind;
};

// kLeaf only for types outside the collector: a type with tp_traverse needs no such knowledge.
constexpr std::array kKnownTypes = {
    KnownType{"_greenlet.greenlet", TypeKind::kGreenlet},
    KnownType{"_io.BufferedRandom", TypeKind::kBuffered},
    KnownType{"_io.BufferedReader", TypeKind::kBuffered},
    KnownType{"_io.BufferedWriter", TypeKind::kBuffered},
    KnownType{"_io.BytesIO", TypeKind::kBytesIo},
    KnownType{"_io.StringIO", TypeKind::kStringIo},
    KnownType{"_pickle.Pickler", TypeKind::kPickler},
    KnownType{"_pickle.Unpickler", TypeKind::kUnpickler},
    KnownType{"_queue.SimpleQueue", TypeKind::kSimpleQueue},
    KnownType{"_random.Random", TypeKind::kLeaf},
    KnownType{"_socket.socket", TypeKind::kLeaf},
    KnownType{"_struct.Struct", TypeKind::kStruct},
    KnownType{"_thread.RLock", TypeKind::kLeaf},
    KnownType{"_thread.lock", TypeKind::kLeaf},
    KnownType{"array.array", TypeKind::kArray},
    KnownType{"builtins.NoneType", TypeKind::kLeaf},
    KnownType{"builtins.NotImplementedType", TypeKind::kLeaf},
    KnownType{"builtins.PyCapsule", TypeKind::kLeaf},
    KnownType{"builtins.Struct", TypeKind::kStruct},  // 3.8
    KnownType{"builtins.async_generator", TypeKind::kGenerator},
    KnownType{"builtins.bytearray", TypeKind::kByteArray},
    KnownType{"builtins.cell", TypeKind::kCell},
    KnownType{"builtins.classmethod_descriptor", TypeKind::kDescriptor},
    KnownType{"builtins.code", TypeKind::kCode},
    KnownType{"builtins.complex", TypeKind::kLeaf},
    KnownType{"builtins.coroutine", TypeKind::kGenerator},
    KnownType{"builtins.dict_items", TypeKind::kDictKeysView},
    KnownType{"builtins.dict_keys", TypeKind::kDictKeysView},
    KnownType{"builtins.dict_values", TypeKind::kDictKeysView},
    KnownType{"builtins.ellipsis", TypeKind::kLeaf},
    KnownType{"builtins.float", TypeKind::kLeaf},
    KnownType{"builtins.frame", TypeKind::kFrame},
    KnownType{"builtins.frozendict", TypeKind::kDict},  // 3.15
    KnownType{"builtins.frozenset", TypeKind::kSet},
    KnownType{"builtins.function", TypeKind::kFunction},
    KnownType{"builtins.generator", TypeKind::kGenerator},
    KnownType{"builtins.getset_descriptor", TypeKind::kDescriptor},
    KnownType{"builtins.member_descriptor", TypeKind::kDescriptor},
    KnownType{"builtins.memoryview", TypeKind::kMemoryView},
    KnownType{"builtins.method_descriptor", TypeKind::kDescriptor},
    KnownType{"builtins.module", TypeKind::kModule},
    KnownType{"builtins.moduledef", TypeKind::kLeaf},
    KnownType{"builtins.odict_items", TypeKind::kDictKeysView},
    KnownType{"builtins.odict_keys", TypeKind::kDictKeysView},
    KnownType{"builtins.odict_values", TypeKind::kDictKeysView},
    KnownType{"builtins.range", TypeKind::kRange},
    KnownType{"builtins.set", TypeKind::kSet},
    KnownType{"builtins.slice", TypeKind::kSlice},
    KnownType{"builtins.stderrprinter", TypeKind::kLeaf},
    KnownType{"builtins.weakcallableproxy", TypeKind::kWeakReference},
    KnownType{"builtins.weakproxy", TypeKind::kWeakReference},
    KnownType{"builtins.weakref", TypeKind::kWeakReference},
    KnownType{"builtins.wrapper_descriptor", TypeKind::kDescriptor},
    KnownType{"collections.OrderedDict", TypeKind::kOrderedDict},
    KnownType{"collections.deque", TypeKind::kDeque},
    KnownType{"datetime.date", TypeKind::kLeaf},
    KnownType{"datetime.datetime", TypeKind::kDateTime},
    KnownType{"datetime.time", TypeKind::kDateTime},
    KnownType{"datetime.timedelta", TypeKind::kLeaf},
    KnownType{"decimal.Decimal", TypeKind::kDecimal},
    KnownType{"greenlet.greenlet", TypeKind::kGreenlet},
    KnownType{"itertools.combinations", TypeKind::kCombinations},
    KnownType{"itertools.combinations_with_replacement", TypeKind::kCombinations},
    KnownType{"itertools.permutations", TypeKind::kPermutations},
    KnownType{"itertools.product", TypeKind::kProduct},
    KnownType{"mmap.mmap", TypeKind::kLeaf},
    KnownType{"numpy.bool", TypeKind::kLeaf},
    KnownType{"numpy.bool_", TypeKind::kLeaf},
    KnownType{"numpy.datetime64", TypeKind::kLeaf},
    KnownType{"numpy.ndarray", TypeKind::kNumpyArray},
    KnownType{"numpy.number", TypeKind::kLeaf},
    KnownType{"re.Match", TypeKind::kMatch},
    KnownType{"re.Pattern", TypeKind::kPattern},
    KnownType{"select.epoll", TypeKind::kLeaf},
    KnownType{"unicodedata.UCD", TypeKind::kLeaf},
    KnownType{"weakref.CallableProxyType", TypeKind::kWeakReference},
    KnownType{"weakref.ProxyType", TypeKind::kWeakReference},
    KnownType{"weakref.ReferenceType", TypeKind::kWeakReference},
    KnownType{"xml.etree.ElementTree.Element", TypeKind::kElement},
};
static_assert(std::ranges::is_sorted(kKnownTypes, {}, &KnownType::name));

}  // namespace

std::optional<TypeKind> kind_of_known_type(std::string_view name) {
  const auto* const found = std::ranges::lower_bound(kKnownTypes, name, {}, &KnownType::name);
  if (found == kKnownTypes.end() || found->name != name) return std::nullopt;
  return found->kind;
}

TypeKind kind_of_flags(std::uint64_t flags) {
  if ((flags & kFlagType) != 0) return TypeKind::kType;
  if ((flags & kFlagDict) != 0) return TypeKind::kDict;
  if ((flags & kFlagUnicode) != 0) return TypeKind::kText;
  if ((flags & kFlagBytes) != 0) return TypeKind::kBytes;
  if ((flags & kFlagTuple) != 0) return TypeKind::kTuple;
  if ((flags & kFlagList) != 0) return TypeKind::kList;
  if ((flags & kFlagLong) != 0) return TypeKind::kInteger;
  return TypeKind::kGeneric;
}

std::uint32_t numpy_scalar_bytes(std::string_view name) {
  constexpr std::string_view kModule = "numpy.";
  if (!name.starts_with(kModule)) return 0;
  name.remove_prefix(kModule.size());
  if (name == "void" || name == "bytes_") return kSizedByObSize;
  if (name == "bool" || name == "bool_") return 1;
  if (name == "intc" || name == "uintc") return 4;
  if (name == "longlong" || name == "ulonglong" || name == "intp" || name == "uintp") return 8;
  if (name == "longdouble") return 16;
  if (name == "clongdouble") return 32;
  // The others are named after their bits.
  const auto digits = name.find_first_of("0123456789");
  if (digits == std::string_view::npos) return 0;
  const auto kind = name.substr(0, digits);
  if (kind != "int" && kind != "uint" && kind != "float" && kind != "complex" && kind != "datetime" &&
      kind != "timedelta") {
    return 0;
  }
  std::uint32_t bits = 0;
  const auto number = name.substr(digits);
  const auto parsed = std::from_chars(number.data(), number.data() + number.size(), bits);
  return parsed.ptr == number.data() + number.size() && bits <= 1024 ? bits / 8 : 0;
}

bool has_known_fields(TypeKind kind) {
  switch (kind) {
    case TypeKind::kType:
    case TypeKind::kCode:
    case TypeKind::kFunction:
    case TypeKind::kModule:
    case TypeKind::kFrame:
    case TypeKind::kGenerator:
    case TypeKind::kCell:
    case TypeKind::kRange:
    case TypeKind::kSlice:
    case TypeKind::kDescriptor:
      return true;
    default:
      return false;
  }
}

}  // namespace memsnap
