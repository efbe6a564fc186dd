#pragma once

#include <cstdint>

#include "inject/protocol/walker_abi.h"
#include "inject/walker/container_scan.h"
#include "inject/walker/scan_context.h"

// Classes and their code: type objects, functions, code objects.
namespace memsnap::walker {

template <class Scan>
void scan_type(const Scan& scan, std::uint64_t object) {
  const HeapLayout::Type& at = scan.layout.type;
  scan.field_at(object, at.tp_base, FieldName::kBase);
  scan.field_at(object, at.tp_dict, FieldName::kDict);
  scan.field_at(object, at.tp_bases, FieldName::kBases);
  scan.field_at(object, at.tp_mro, FieldName::kMro);
  scan.field_at(object, at.tp_cache, FieldName::kCache);
  const std::uint64_t subclasses = scan.word(object + at.tp_subclasses);
  if (subclasses > 0xffff) scan.field(subclasses, FieldName::kSubclasses);  // 3.12+: an index for static builtin types
  if ((scan.word(object + at.tp_flags) >> 9 & 1) == 0) return;  // the rest belongs to heap types (Py_TPFLAGS_HEAPTYPE)
  scan.field_at(object, at.ht_name, FieldName::kName);
  scan.field_at(object, at.ht_slots, FieldName::kSlots);
  scan.field_at(object, at.ht_qualname, FieldName::kQualname);
  scan.field_at(object, at.ht_module, FieldName::kModule);
  const std::uint64_t keys = scan.word(object + at.ht_cached_keys);
  if (keys == 0) return;
  const DictKeys table = read_keys(scan, keys);
  for (std::uint64_t i = 0; i < table.count && i < kMaxLocals; ++i) {
    scan.sink.edge(scan.word(table.entries + i * table.entry_size + table.key_offset), EdgeKind::kNone);
  }
}

// _co_cached: one object in 3.11, a malloc'ed struct of four objects from 3.12 on.
template <class Scan>
void scan_code_cache(const Scan& scan, std::uint64_t object) {
  if (scan.layout.code.co_cached == 0) return;
  const std::uint64_t cached = scan.word(object + scan.layout.code.co_cached);
  if (cached == 0) return;
  if (scan.layout.since < 0x030c0000) return scan.field(cached, FieldName::kCoCached);
  for (std::uint64_t i = 0; i < 4; ++i) scan.field(scan.word(cached + 8 * i), FieldName::kCoCached);
}

template <class Scan>
void scan_code(const Scan& scan, std::uint64_t object) {
  const HeapLayout::Code& at = scan.layout.code;
  scan.field_at(object, at.co_code, FieldName::kCoCode);
  scan.field_at(object, at.co_consts, FieldName::kCoConsts);
  scan.field_at(object, at.co_names, FieldName::kCoNames);
  scan.field_at(object, at.co_varnames, FieldName::kCoVarNames);
  scan.field_at(object, at.co_freevars, FieldName::kCoFreeVars);
  scan.field_at(object, at.co_cellvars, FieldName::kCoCellVars);
  scan.field_at(object, at.co_localsplusnames, FieldName::kCoLocalsPlusNames);
  scan.field_at(object, at.co_localspluskinds, FieldName::kCoLocalsPlusKinds);
  scan.field_at(object, at.co_filename, FieldName::kCoFilename);
  scan.field_at(object, at.co_name, FieldName::kCoName);
  scan.field_at(object, at.co_qualname, FieldName::kCoQualname);
  scan.field_at(object, at.co_linetable, FieldName::kCoLineTable);
  scan.field_at(object, at.co_exceptiontable, FieldName::kCoExceptionTable);
  scan_code_cache(scan, object);
}

template <class Scan>
void scan_function(const Scan& scan, std::uint64_t object) {
  const HeapLayout::Function& at = scan.layout.function;
  scan.field_at(object, at.func_code, FieldName::kCode);
  scan.field_at(object, at.func_globals, FieldName::kGlobals);
  scan.field_at(object, at.func_builtins, FieldName::kBuiltins);
  scan.field_at(object, at.func_name, FieldName::kName);
  scan.field_at(object, at.func_qualname, FieldName::kQualname);
  scan.field_at(object, at.func_defaults, FieldName::kDefaults);
  scan.field_at(object, at.func_kwdefaults, FieldName::kKwDefaults);
  scan.field_at(object, at.func_doc, FieldName::kDoc);
  scan.field_at(object, at.func_dict, FieldName::kDict);
  scan.field_at(object, at.func_closure, FieldName::kClosure);
  scan.field_at(object, at.func_module, FieldName::kModule);
}

}  // namespace memsnap::walker
