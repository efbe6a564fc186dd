#!/usr/bin/env python3
"""Writes one HeapLayout table (inject/protocol/heap_layout.h) from a CPython release's own headers.

    scripts/print_layout.py INCLUDE_DIR [--since 0x030d0000] [--cc cc] [-o snapshot/cpython/layouts/3.13.inc]

INCLUDE_DIR is the folder of Python.h, with internal/ in it. A small C program is generated and compiled against it, so
every offset is the compiler's; a member that is gone or was renamed is a compile error here, not a wrong number later.
"""

import argparse
import os
import subprocess
import sys
import tempfile

NEVER = 0xFFFFFFFF


def version(text):
    """'3.12' as PY_VERSION_HEX of its first alpha, which sorts before every release of it."""
    major, minor = text.split(".")[:2]
    return int(major) << 24 | int(minor) << 16


class Choice:
    """A C expression for each stretch of releases; 0 in the releases that none covers."""

    def __init__(self, *pieces):
        self.pieces = pieces


def at(struct, member, since="3.0", until=None):
    """Offset of a member, in the releases that have it."""
    return Choice((version(since), version(until) if until else NEVER, f"offsetof({struct}, {member})"))


def either(*choices):
    return Choice(*(piece for choice in choices for piece in choice.pieces))


def value(expression, since="3.0", until=None):
    return Choice((version(since), version(until) if until else NEVER, str(expression)))


def size(struct, since="3.0", until=None):
    return value(f"sizeof({struct})", since, until)


def same(struct, *members, since="3.0", until=None):
    return {member: at(struct, member, since, until) for member in members}


TYPE = "PyTypeObject"
HEAP = "PyHeapTypeObject"
CODE = "PyCodeObject"
FUNCTION = "PyFunctionObject"
FRAME_OBJECT = "struct _frame"
FRAME = "struct _PyInterpreterFrame"
GENERATOR = "PyGenObject"
THREAD = "PyThreadState"
INTERPRETER = "PyInterpreterState"
COLLECTOR = "struct _gc_runtime_state"
RUNTIME = "_PyRuntimeState"
GIL = "struct _gil_runtime_state"

# What the installed headers do not say, because the structure is defined in a .c file of the release.
DICT_KEYS_TO_310 = {"refcnt": 0, "size": 8, "usable": 24, "nentries": 32, "indices": 40}  # Objects/dict-common.h
MODULE_TO_39 = {"md_dict": 16, "md_def": 24, "md_state": 32, "md_name": 48}  # Objects/moduleobject.c


def dict_keys(old, new):
    return either(value(DICT_KEYS_TO_310[old], until="3.11"), at("PyDictKeysObject", new, since="3.11"))


def module(member):
    until = "3.15" if member == "md_def" else None
    return either(value(MODULE_TO_39[member], until="3.10"), at("PyModuleObject", member, since="3.10", until=until))


def static_types(suffix):
    return either(at(INTERPRETER, "types.builtins", since="3.12", until="3.13"),
                  at(INTERPRETER, f"types.builtins.{suffix}", since="3.13"))


def static_type(member):
    state = "((PyInterpreterState *)0)->types"
    return either(
        value(f"offsetof(__typeof__({state}.builtins[0]), {member})", since="3.12", until="3.13"),
        value(f"offsetof(__typeof__({state}.builtins.initialized[0]), {member})", since="3.13"))


# PyObject* members kept for the roots. In the order of the releases that brought them.
THREAD_OBJECTS = [
    at(THREAD, "c_profileobj"), at(THREAD, "c_traceobj"),
    at(THREAD, "curexc_type", until="3.12"), at(THREAD, "curexc_value", until="3.12"),
    at(THREAD, "curexc_traceback", until="3.12"), at(THREAD, "current_exception", since="3.12"),
    at(THREAD, "dict"), at(THREAD, "async_exc"), at(THREAD, "async_gen_firstiter"),
    at(THREAD, "async_gen_finalizer"), at(THREAD, "context"),
    at(THREAD, "threading_local_key", since="3.13"), at(THREAD, "threading_local_sentinel", since="3.13"),
]
INTERPRETER_OBJECTS = [
    at(INTERPRETER, "dict"), at(INTERPRETER, "builtins_copy"), at(INTERPRETER, "sysdict_copy", since="3.12"),
    at(INTERPRETER, "audit_hooks"), at(INTERPRETER, "before_forkers"),
    at(INTERPRETER, "after_forkers_parent"), at(INTERPRETER, "after_forkers_child"),
    either(at(INTERPRETER, "codec_search_path", until="3.13"), at(INTERPRETER, "codecs.search_path", since="3.13")),
    either(at(INTERPRETER, "codec_search_cache", until="3.13"), at(INTERPRETER, "codecs.search_cache", since="3.13")),
    either(at(INTERPRETER, "codec_error_registry", until="3.13"),
           at(INTERPRETER, "codecs.error_registry", since="3.13")),
    either(at(INTERPRETER, "import_func", until="3.12"), at(INTERPRETER, "imports.import_func", since="3.12")),
    either(at(INTERPRETER, "importlib", until="3.12"), at(INTERPRETER, "imports.importlib", since="3.12")),
    either(at(INTERPRETER, "modules_by_index", until="3.12"),
           at(INTERPRETER, "imports.modules_by_index", since="3.12")),
    at(INTERPRETER, "warnings.filters"), at(INTERPRETER, "warnings.once_registry"),
    at(INTERPRETER, "warnings.default_action"), at(INTERPRETER, "warnings.context", since="3.14"),
    at(INTERPRETER, "atexit.callbacks", since="3.14"), at(INTERPRETER, "pyexitmodule", until="3.10"),
    at(INTERPRETER, "gc.garbage", since="3.9"), at(INTERPRETER, "gc.callbacks", since="3.9"),
    at(INTERPRETER, "slice_cache", since="3.10", until="3.13"),
]

# Sections and fields in the order of HeapLayout: the compiler checks it.
LAYOUT = {
    "object": {"ob_refcnt": at("PyObject", "ob_refcnt"), "ob_type": at("PyObject", "ob_type"),
               "ob_size": at("PyVarObject", "ob_size")},
    "type": {
        "size": size(TYPE),
        **same(TYPE, "tp_name", "tp_basicsize", "tp_itemsize", "tp_flags", "tp_traverse", "tp_weaklistoffset",
               "tp_members", "tp_base", "tp_dict", "tp_dictoffset", "tp_is_gc", "tp_bases", "tp_mro", "tp_cache",
               "tp_subclasses", "tp_weaklist"),
        "heap_size": size(HEAP),
        **same(HEAP, "ht_name", "ht_slots", "ht_qualname", "ht_cached_keys"),
        "ht_module": at(HEAP, "ht_module", since="3.9"),
    },
    "text": {
        "length": at("PyASCIIObject", "length"), "state": at("PyASCIIObject", "state"),
        "ascii_size": size("PyASCIIObject"), "compact_size": size("PyCompactUnicodeObject"),
        "full_size": size("PyUnicodeObject"),
        **same("PyCompactUnicodeObject", "utf8_length", "utf8"),
        "wstr": at("PyASCIIObject", "wstr", until="3.12"),
        "wstr_length": at("PyCompactUnicodeObject", "wstr_length", until="3.12"),
        "data": at("PyUnicodeObject", "data"),
        "kind_shift": value("state_shift(1)"), "compact_shift": value("state_shift(2)"),
        "ascii_shift": value("state_shift(3)"), "state_bytes": value("sizeof(((PyASCIIObject *)0)->state)"),
    },
    "integer": {
        "digits": either(at("PyLongObject", "ob_digit", until="3.12"),
                         at("PyLongObject", "long_value.ob_digit", since="3.12")),
        "tag": either(at("PyVarObject", "ob_size", until="3.12"), at("PyLongObject", "long_value.lv_tag", since="3.12")),
        "tag_shift": value(3, since="3.12"),
    },
    "sequence": {
        "bytes_data": at("PyBytesObject", "ob_sval"), "bytearray_alloc": at("PyByteArrayObject", "ob_alloc"),
        "list_items": at("PyListObject", "ob_item"), "list_allocated": at("PyListObject", "allocated"),
        "tuple_items": at("PyTupleObject", "ob_item"),
    },
    "dict": {
        **same("PyDictObject", "ma_used", "ma_keys", "ma_values"),
        "keys_form": value(1, since="3.11"),
        "keys_header": dict_keys("indices", "dk_indices"),
        "dk_refcnt": dict_keys("refcnt", "dk_refcnt"),
        "dk_size": dict_keys("size", "dk_log2_size"),
        "dk_log2_index_bytes": at("PyDictKeysObject", "dk_log2_index_bytes", since="3.11"),
        "dk_kind": at("PyDictKeysObject", "dk_kind", since="3.11"),
        "dk_usable": dict_keys("usable", "dk_usable"),
        "dk_nentries": dict_keys("nentries", "dk_nentries"),
        "values_items": at("PyDictValues", "values", since="3.11"),
        "values_capacity": at("PyDictValues", "capacity", since="3.13"),
        "values_embedded": at("PyDictValues", "embedded", since="3.13"),
        "values_valid": at("PyDictValues", "valid", since="3.13"),
    },
    "set": same("PySetObject", "mask", "table", "smalltable"),
    "instance": {
        "form": either(value(11, since="3.11", until="3.12"), value(12, since="3.12", until="3.13"),
                       value(13, since="3.13")),
        "pre_header_words": value(2, since="3.11"),
    },
    "code": {
        "size": size(CODE),
        "co_flags": at(CODE, "co_flags"), "co_nlocals": at(CODE, "co_nlocals"),
        "co_nlocalsplus": at(CODE, "co_nlocalsplus", since="3.11"),
        "co_ncellvars": at(CODE, "co_ncellvars", since="3.11"),
        "co_nfreevars": at(CODE, "co_nfreevars", since="3.11"),
        "co_stacksize": at(CODE, "co_stacksize"), "co_framesize": at(CODE, "co_framesize", since="3.12"),
        "co_firstlineno": at(CODE, "co_firstlineno"),
        "co_code": either(at(CODE, "co_code", until="3.11"), at(CODE, "_co_code", since="3.11", until="3.12")),
        "co_consts": at(CODE, "co_consts"), "co_names": at(CODE, "co_names"),
        "co_exceptiontable": at(CODE, "co_exceptiontable", since="3.11"),
        **same(CODE, "co_varnames", "co_freevars", "co_cellvars", until="3.11"),
        **same(CODE, "co_localsplusnames", "co_localspluskinds", since="3.11"),
        "co_filename": at(CODE, "co_filename"), "co_name": at(CODE, "co_name"),
        "co_qualname": at(CODE, "co_qualname", since="3.11"),
        "co_linetable": either(at(CODE, "co_lnotab", until="3.10"), at(CODE, "co_linetable", since="3.10")),
        "co_cached": at(CODE, "_co_cached", since="3.12"), "co_extra": at(CODE, "co_extra"),
        "co_cell2arg": at(CODE, "co_cell2arg", until="3.11"), "co_opcache": at(CODE, "co_opcache", until="3.11"),
        "co_zombieframe": at(CODE, "co_zombieframe", until="3.11"),
        "co_executors": at(CODE, "co_executors", since="3.13"),
        "co_code_adaptive": at(CODE, "co_code_adaptive", since="3.11"),
    },
    "function": {
        "func_globals": at(FUNCTION, "func_globals"), "func_builtins": at(FUNCTION, "func_builtins", since="3.10"),
        **same(FUNCTION, "func_name", "func_qualname", "func_code", "func_defaults", "func_kwdefaults", "func_doc",
               "func_dict", "func_closure", "func_module", "func_annotations"),
        "func_annotate": at(FUNCTION, "func_annotate", since="3.14"),
        "func_typeparams": at(FUNCTION, "func_typeparams", since="3.12"),
    },
    "frame_object": {
        "size": size(FRAME_OBJECT), "f_back": at(FRAME_OBJECT, "f_back"),
        **same(FRAME_OBJECT, "f_code", "f_builtins", "f_globals", "f_locals", "f_valuestack", until="3.11"),
        "f_stack_end": either(at(FRAME_OBJECT, "f_stacktop", until="3.10"),
                              at(FRAME_OBJECT, "f_stackdepth", since="3.10", until="3.11")),
        "f_localsplus": at(FRAME_OBJECT, "f_localsplus", until="3.11"),
        "f_trace": at(FRAME_OBJECT, "f_trace"), "f_gen": at(FRAME_OBJECT, "f_gen", until="3.11"),
        "f_lasti": at(FRAME_OBJECT, "f_lasti", until="3.11"),
        **same(FRAME_OBJECT, "f_extra_locals", "f_locals_cache", since="3.13"),
        "f_overwritten_fast_locals": at(FRAME_OBJECT, "f_overwritten_fast_locals", since="3.14"),
        "f_frame": at(FRAME_OBJECT, "f_frame", since="3.11"),
        "f_frame_data": at(FRAME_OBJECT, "_f_frame_data", since="3.11"),
        "stack_form": either(value(1, since="3.10", until="3.11"), value(2, since="3.11")),
    },
    "frame": {
        "size": size(FRAME, since="3.11"),
        "executable": either(at(FRAME, "f_code", since="3.11", until="3.13"), at(FRAME, "f_executable", since="3.13")),
        "previous": at(FRAME, "previous", since="3.11"),
        "function": either(at(FRAME, "f_func", since="3.11", until="3.12"), at(FRAME, "f_funcobj", since="3.12")),
        "globals": at(FRAME, "f_globals", since="3.11"), "builtins": at(FRAME, "f_builtins", since="3.11"),
        "locals": at(FRAME, "f_locals", since="3.11"), "frame_object": at(FRAME, "frame_obj", since="3.11"),
        "stack_top": either(at(FRAME, "stacktop", since="3.11", until="3.14"), at(FRAME, "stackpointer", since="3.14")),
        "localsplus": at(FRAME, "localsplus", since="3.11"), "owner": at(FRAME, "owner", since="3.11"),
        "instr": either(at(FRAME, "prev_instr", since="3.11", until="3.13"), at(FRAME, "instr_ptr", since="3.13")),
        "entry": at(FRAME, "is_entry", since="3.11", until="3.12"),
        "stack_form": value(1, since="3.14"), "tag_mask": value("Py_TAG_BITS", since="3.14"),
        "first_c_owner": either(value(255, until="3.12"), value("FRAME_OWNED_BY_CSTACK", since="3.12", until="3.14"),
                                value("FRAME_OWNED_BY_INTERPRETER", since="3.14")),
    },
    "generator": {
        "size": size(GENERATOR),
        "frame_object": at(GENERATOR, "gi_frame", until="3.11"), "frame": at(GENERATOR, "gi_iframe", since="3.11"),
        "frame_state": at(GENERATOR, "gi_frame_state", since="3.11"),
        "name": at(GENERATOR, "gi_name"), "qualname": at(GENERATOR, "gi_qualname"),
        "code": at(GENERATOR, "gi_code", until="3.12"), "exc_value": at(GENERATOR, "gi_exc_state.exc_value"),
        "origin_or_finalizer": at(GENERATOR, "gi_origin_or_finalizer", since="3.11"),
        "executing_state": value("FRAME_EXECUTING", since="3.11"),
        "cleared_state": value("FRAME_CLEARED", since="3.11"),
    },
    "module": {
        "md_dict": module("md_dict"), "md_def": module("md_def"), "md_state": module("md_state"),
        "md_name": module("md_name"), "def_m_size": at("PyModuleDef", "m_size"),
        "md_state_size": at("PyModuleObject", "md_state_size", since="3.15"),
    },
    "thread": {
        "next": at(THREAD, "next"), "interp": at(THREAD, "interp"), "frame": at(THREAD, "frame", until="3.11"),
        "cframe": at(THREAD, "cframe", since="3.11", until="3.13"),
        "current_frame": at(THREAD, "current_frame", since="3.13"),
        "dict": at(THREAD, "dict"), "thread_id": at(THREAD, "thread_id"),
        "native_thread_id": at(THREAD, "native_thread_id", since="3.11"),
        "size": size(THREAD),
        "cframe_current": at("_PyCFrame", "current_frame", since="3.11", until="3.13"),
        "base_frame": at(THREAD, "base_frame", since="3.15"),
        "exc_info": at(THREAD, "exc_info"),
        "exc_item_value": either(at("_PyErr_StackItem", "exc_type", until="3.11"),
                                 at("_PyErr_StackItem", "exc_value", since="3.11")),
        "exc_item_values": either(value(3, until="3.11"), value(1, since="3.11")),
        "exc_item_previous": at("_PyErr_StackItem", "previous_item"),
        "objects": THREAD_OBJECTS,
    },
    "interpreter": {
        "size": size(INTERPRETER), "next": at(INTERPRETER, "next"),
        "threads_head": either(at(INTERPRETER, "tstate_head", until="3.11"),
                               at(INTERPRETER, "threads.head", since="3.11")),
        "id": at(INTERPRETER, "id"),
        "modules": either(at(INTERPRETER, "modules", until="3.12"), at(INTERPRETER, "imports.modules", since="3.12")),
        "sysdict": at(INTERPRETER, "sysdict"), "builtins": at(INTERPRETER, "builtins"),
        "gc": at(INTERPRETER, "gc", since="3.9"),
        "gc_generations": at(COLLECTOR, "COLLECTOR_LISTS"),
        "gc_generation_size": size("struct gc_generation"),
        "gc_permanent": at(COLLECTOR, "permanent_generation"), "gc_collecting": at(COLLECTOR, "collecting"),
        "runtime": at(INTERPRETER, "runtime", since="3.9"),
        "interned": at(INTERPRETER, "cached_objects.interned_strings", since="3.12"),
        "static_types": static_types("initialized"),
        "static_types_limit": either(value("_Py_MAX_STATIC_BUILTIN_TYPES", since="3.12", until="3.13"),
                                     value("_Py_MAX_MANAGED_STATIC_BUILTIN_TYPES", since="3.13")),
        "extension_types": at(INTERPRETER, "types.for_extensions.initialized", since="3.13"),
        "extension_types_limit": value("_Py_MAX_MANAGED_STATIC_EXT_TYPES", since="3.13"),
        "static_type_size": either(
            value("sizeof(((PyInterpreterState *)0)->types.builtins[0])", since="3.12", until="3.13"),
            value("sizeof(((PyInterpreterState *)0)->types.builtins.initialized[0])", since="3.13")),
        "static_type_dict": static_type("tp_dict"), "static_type_subclasses": static_type("tp_subclasses"),
        "objects": INTERPRETER_OBJECTS,
    },
    "runtime": {
        "size": size(RUNTIME), "interpreters_head": at(RUNTIME, "interpreters.head"),
        "interpreters_main": at(RUNTIME, "interpreters.main"), "gc": at(RUNTIME, "gc", until="3.9"),
        "finalizing": either(at(RUNTIME, "finalizing", until="3.9"), at(RUNTIME, "_finalizing", since="3.9")),
    },
    "gil": {
        "in_runtime": at(RUNTIME, "ceval.gil", until="3.12"),
        "in_interpreter": at(INTERPRETER, "ceval.gil", since="3.12"),
        "current_thread": at(RUNTIME, "gilstate.tstate_current", until="3.12"),
        "size": size(GIL), **same(GIL, "last_holder", "locked"),
    },
}

HEADER = """
#define Py_BUILD_CORE 1
#include <Python.h>
#include <frameobject.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#if PY_VERSION_HEX < 0x03090000
#include <internal/pycore_pystate.h>
#else
#include <internal/pycore_gc.h>
#include <internal/pycore_interp.h>
#include <internal/pycore_runtime.h>
#endif
#if PY_VERSION_HEX < 0x030b0000
#include <longintrepr.h>
#endif
#if PY_VERSION_HEX >= 0x030a0000
#include <internal/pycore_moduleobject.h>
#endif
#if PY_VERSION_HEX >= 0x030b0000
#include <internal/pycore_dict.h>
#include <internal/pycore_frame.h>
#endif
#if PY_VERSION_HEX >= 0x030e0000
#include <internal/pycore_interp_structs.h>
#include <internal/pycore_interpframe.h>
#include <internal/pycore_stackref.h>
#endif
#ifdef Py_GIL_DISABLED
#error free-threaded builds are not supported
#endif

// 3.14.0 to 3.14.4 have the incremental collector: one young list, two old ones. All others have three generations.
#if PY_VERSION_HEX >= 0x030e0000 && PY_VERSION_HEX < 0x030e0500
#define COLLECTOR_LISTS young
#else
#define COLLECTOR_LISTS generations
#endif

// The lowest bit of a bit field inside the state of a str.
static int state_shift(int field) {
  PyASCIIObject text;
  memset(&text, 0, sizeof text);
  if (field == 1) text.state.kind = 1;
  if (field == 2) text.state.compact = 1;
  if (field == 3) text.state.ascii = 1;
  const unsigned char *bytes = (const unsigned char *)&text.state;
  for (int bit = 0; bit < (int)(8 * sizeof text.state); ++bit)
    if (bytes[bit / 8] >> (bit % 8) & 1) return bit;
  return -1;
}

static void put(const char *name, unsigned long value) { printf("        .%s = %lu,\\n", name, value); }
static void put_item(unsigned long value) { printf(" %lu,", value); }
"""


def statement(call, choice):
    """`call(expression)` for the stretch of releases that the compiler finds itself in."""
    lines = []
    for since, until, expression in choice.pieces:
        word = "#elif" if lines else "#if"
        lines.append(f"{word} PY_VERSION_HEX >= {since:#010x} && PY_VERSION_HEX < {until:#010x}")
        lines.append(f"  {call(expression)}")
    return lines


def field_lines(name, choice):
    if isinstance(choice, list):  # an array of offsets that exist, ended by the zeros that fill it
        lines = [f'  printf("        .{name} = {{");']
        for item in choice:
            lines += statement(lambda expression: f"put_item({expression});", item) + ["#endif"]
        return lines + ['  printf("},\\n");']
    lines = statement(lambda expression: f'put("{name}", {expression});', choice)
    return lines + ["#else", f'  put("{name}", 0);', "#endif"]


def program(since):
    lines = [HEADER, "int main(void) {"]
    # One field a line, so that a diff of two tables is the change between two releases.
    lines.append('  printf("// CPython %s, by scripts/print_layout.py. Not edited by hand.\\n", PY_VERSION);')
    lines.append('  printf("// clang-format off\\n");')
    lines.append('  printf("HeapLayout{\\n");')
    lines.append(f'  printf("    .since = 0x%08x,\\n", (unsigned){since if since is not None else "PY_VERSION_HEX"});')
    for section, fields in LAYOUT.items():
        lines.append(f'  printf("    .{section} = {{\\n");')
        for name, choice in fields.items():
            lines += field_lines(name, choice)
        lines.append('  printf("    },\\n");')
    lines += ['  printf("},\\n");', "  return 0;", "}", ""]
    return "\n".join(lines)


def table(include, compiler, since):
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "layout.c")
        binary = os.path.join(folder, "layout")
        with open(source, "w", encoding="ascii") as out:
            out.write(program(since))
        # Debian's pyconfig.h includes the architecture's by its path below the folder above.
        above = os.path.dirname(os.path.abspath(include))
        subprocess.run([*compiler.split(), "-w", "-I", include, "-I", os.path.join(include, "internal"),
                        "-idirafter", above, "-o", binary, source], check=True)
        return subprocess.run([binary], check=True, stdout=subprocess.PIPE).stdout.decode("ascii")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("include", help="the release's include folder")
    parser.add_argument("--since", type=lambda text: int(text, 0), help="first PY_VERSION_HEX the table is right for")
    parser.add_argument("--cc", default="cc", help="C compiler")
    parser.add_argument("-o", "--output", help="file to write (default: standard output)")
    arguments = parser.parse_args()
    try:
        text = table(arguments.include, arguments.cc, arguments.since)
    except subprocess.CalledProcessError as error:
        sys.exit(f"print_layout: {arguments.include}: the generated program failed: {error}")
    if arguments.output:
        with open(arguments.output, "w", encoding="ascii") as out:
            out.write(text)
    else:
        sys.stdout.write(text)


if __name__ == "__main__":
    main()
