"""The reference that a snapshot is compared with: every object of this interpreter, found from inside, with its size.

It runs in a forked child of the target, so that the heap it looks at is the target's at that moment and whatever it makes
while looking is nobody's but its own. It starts from the collector's lists and follows gc.get_referents(), and adds what no
tp_traverse shows: keys of dicts, parts of code objects, of static types, of descriptors, of ranges, patterns and matches,
time zones, and the local variables of running frames. It never asks an object for something that is made, or remembered,
by asking (__dict__, co_varnames, __qualname__ of a descriptor); where there is no other way it reads the word.

Works on CPython 3.8 to 3.15. serve() is what the target waits in; a line of JSON is the answer.
"""

import ctypes
import datetime
import gc
import io
import os
import re
import struct
import sys
import types

# With the GIL held and without Python's own handlers: the child keeps the other threads' frames as they are.
_fork = ctypes.PyDLL(None).fork
_thread_dict = ctypes.pythonapi.PyThreadState_GetDict
_thread_dict.restype = ctypes.py_object
_read_memory = ctypes.CDLL(None).process_vm_readv
_read_memory.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
_WORD = 8
_HAVE_GC = 1 << 14
_HEAP_TYPE = 1 << 9
_STATIC_TYPE_SIZE = 400
_PREHEADER = (1 << 3 | 1 << 4) if sys.version_info >= (3, 11) else 0

_type_dict = type.__dict__["__dict__"].__get__
_type_module = type.__dict__["__module__"].__get__
_type_qualname = type.__dict__["__qualname__"].__get__
_type_mro = type.__dict__["__mro__"].__get__
_type_bases = type.__dict__["__bases__"].__get__
_type_base = type.__dict__["__base__"].__get__
_type_flags = type.__dict__["__flags__"].__get__
_type_name = type.__dict__["__name__"].__get__

_datetime_zone = datetime.datetime.tzinfo.__get__
_time_zone = datetime.time.tzinfo.__get__

_DESCRIPTORS = (types.MethodDescriptorType, types.MemberDescriptorType, types.GetSetDescriptorType,
                types.WrapperDescriptorType, types.ClassMethodDescriptorType)


def _word(obj, offset):
    return ctypes.c_size_t.from_address(id(obj) + offset).value


def _object_at(obj, offset):
    """The object a field points to, as a list: empty for NULL."""
    address = _word(obj, offset)
    return [ctypes.cast(address, ctypes.py_object).value] if address else []


def _offset_of(obj, part):
    """Where in its C struct an object points to a part that is known otherwise."""
    for offset in range(16, type(obj).__basicsize__, _WORD):
        if _word(obj, offset) == id(part):
            return offset
    raise LookupError("%r does not point to %r" % (type(obj), part))


def _code_parts(code):
    parts = [code.co_consts, code.co_names, code.co_filename, code.co_name]
    if sys.version_info < (3, 11):
        parts += [code.co_code, code.co_varnames, code.co_freevars, code.co_cellvars]
        parts.append(code.co_linetable if sys.version_info >= (3, 10) else code.co_lnotab)
    else:
        parts += [code.co_qualname, code.co_linetable, code.co_exceptiontable]
        # Names and kinds of all variables stand before the file's name and have no attribute of their own.
        filename = _offset_of(code, code.co_filename)
        names, kinds = _object_at(code, filename - 2 * _WORD), _object_at(code, filename - _WORD)
        assert type(names[0]) is tuple and type(kinds[0]) is bytes and len(names[0]) == len(kinds[0])
        parts += names + kinds
    return parts


def _type_parts(cls):
    if _type_dict(cls) is None:  # a static type that was never made ready: its bases and mro are NULL
        return [_type_base(cls)]
    parts = list(gc.get_referents(_type_dict(cls))) + [_type_mro(cls), _type_bases(cls), _type_base(cls)]
    if _type_flags(cls) & _HEAP_TYPE:
        # {..., ht_name, ht_slots, ht_qualname, ...}: the slots' names are kept in a tuple of their own.
        name, qualname = _type_name(cls), _type_qualname(cls)
        for offset in range(_STATIC_TYPE_SIZE, type.__basicsize__ - 2 * _WORD, _WORD):
            if _word(cls, offset) == id(name) and _word(cls, offset + 2 * _WORD) == id(qualname):
                parts += [name, qualname] + _object_at(cls, offset + _WORD)
                break
        else:
            raise LookupError("no slots in %r" % cls)
    return parts


def _descriptor_parts(descriptor):
    # {head, d_type, d_name, d_qualname}: the last is made when it is first asked for.
    assert _word(descriptor, 24) == id(descriptor.__name__)
    return _object_at(descriptor, 24) + _object_at(descriptor, 32)


def _pattern_parts(pattern):
    at = _offset_of(pattern, pattern.pattern)
    return _object_at(pattern, at - 2 * _WORD) + _object_at(pattern, at - _WORD) + [pattern.pattern]


def _match_parts(match):
    at = _offset_of(match, match.string)
    return [match.string, match.re] + _object_at(match, at + _WORD)


def _struct_parts(packer):
    # {head, size, length, codes, format}: bytes up to 3.14, of which the attribute makes a str; the str itself since 3.15.
    found = _object_at(packer, 40)
    assert found[0] is packer.format or type(found[0]) is bytes and found[0].decode() == packer.format
    return found


def _range_parts(numbers):
    return [part for offset in range(16, 48, _WORD) for part in _object_at(numbers, offset)]


_EXTRA = {
    dict: lambda obj: list(dict.keys(obj)),
    type: _type_parts,
    types.CodeType: _code_parts,
    re.Pattern: _pattern_parts,
    re.Match: _match_parts,
    struct.Struct: _struct_parts,
    range: _range_parts,
    datetime.datetime: lambda obj: [_datetime_zone(obj)],
    datetime.time: lambda obj: [_time_zone(obj)],
    datetime.timezone: lambda obj: list(obj.__getinitargs__()),
    types.GeneratorType: lambda obj: [obj.__name__, obj.__qualname__],
    types.CoroutineType: lambda obj: [obj.__name__, obj.__qualname__],
    types.AsyncGeneratorType: lambda obj: [obj.__name__, obj.__qualname__],
}
_EXTRA.update((kind, _descriptor_parts) for kind in _DESCRIPTORS)


def _frame_objects():
    """What the running frames of all threads hold. Up to 3.10 a frame is an object itself; later ones are made by asking."""
    found = []
    for frame in sys._current_frames().values():
        while frame is not None:
            if frame.f_code not in _OWN_CODE:
                if sys.version_info < (3, 11):
                    found.append(frame)
                else:
                    found += [frame.f_code, frame.f_globals, frame.f_builtins]
                    if frame.f_locals is not frame.f_globals:
                        found += list(frame.f_locals.values())
            frame = frame.f_back
    return found


def _readable(address, size):
    """The bytes at an address that may be none."""
    into = ctypes.create_string_buffer(size)
    local, remote = (ctypes.c_size_t * 2)(ctypes.addressof(into), size), (ctypes.c_size_t * 2)(address, size)
    done = _read_memory(os.getpid(), local, 1, remote, 1, 0)
    return into.raw if done == size else None


def _interned():
    """What the dict of interned strings holds, whoever else does: since 3.12 they live as long as the interpreter, and before
    that C code keeps many alive for good.

    The dict is no one's but a field of the interpreter's state, before 3.12 a static variable; it is known by its keys being
    its values.
    """
    if sys.version_info < (3, 12):
        begin = (id(type) & ~4095) - (1 << 20)  # PyType_Type is in the same image's data
        end = begin + (1 << 22)
    else:
        state = ctypes.pythonapi.PyInterpreterState_Get
        state.restype = ctypes.c_void_p
        begin = state()
        end = begin + (1 << 20)
    for page in range(begin & ~4095, end, 4096):
        words = _readable(page, 4096)
        if words is None:
            continue
        for address in struct.unpack("<512Q", words):
            if address % 16 or not 4096 < address < 1 << 47:
                continue
            head = _readable(address, 24)
            if head is None or struct.unpack_from("<Q", head, 8)[0] != id(dict) or struct.unpack_from("<Q", head, 16)[0] < 500:
                continue
            found = ctypes.cast(address, ctypes.py_object).value
            if all(key is value for key, value in found.items()):
                return list(found)
    raise LookupError("no dict of interned strings")


def _closure(excluded):
    gc.disable()
    gc.unfreeze()  # get_objects() does not show the permanent generation
    excluded[id(excluded)] = excluded
    todo = gc.get_objects()
    frame = sys._getframe()
    while frame is not None and frame.f_code in _OWN_CODE:
        excluded[id(frame)] = frame
        frame = frame.f_back
    del frame
    todo += _frame_objects()
    if sys.version_info < (3, 13):
        todo.append(_thread_dict())  # of this thread: where threading.local() is kept
    todo += _interned()
    seen = {}
    sizes = {}
    if sys.version_info < (3, 11):  # code that runs often gets a cache, and grows: the functions of this file, while they work
        for obj in todo:
            if type(obj) is types.FunctionType:
                sizes[id(obj.__code__)] = sys.getsizeof(obj.__code__)
    handlers = {}
    get_referents, handler_of = gc.get_referents, _handler_of
    while todo:
        fresh = []
        for obj in todo:
            key = id(obj)
            if key in seen or key in excluded:
                continue
            seen[key] = obj
            fresh.append(obj)
            if type(obj) is io.BytesIO:  # its size depends on whether somebody else refers to its buffer, as `todo` soon will
                sizes[key] = sys.getsizeof(obj)
        todo = []
        for start in range(0, len(fresh), 10000):
            todo += get_referents(*fresh[start:start + 10000])
        for obj in fresh:
            kind = type(obj)
            try:
                handler = handlers[kind]
            except KeyError:
                handler = handlers[kind] = handler_of(kind)
                todo.append(kind)
            if handler is not None:
                todo += handler(obj)
    return seen, sizes


def _handler_of(kind):
    for base in _type_mro(kind) or ():
        if base in _EXTRA:
            return _EXTRA[base]
    return None


def _name(kind):
    module = _type_module(kind)
    return "%s.%s" % (module if isinstance(module, str) else "?", _type_qualname(kind))


def _size_function(kind):
    """sys.getsizeof, or for a __sizeof__ written in Python what the next built-in one says, with the collector's header."""
    found = [_type_dict(base)["__sizeof__"] for base in _type_mro(kind) or () if "__sizeof__" in _type_dict(base)]
    built_in = [method for method in found if isinstance(method, types.MethodDescriptorType)]
    if found and found[0] is built_in[0]:
        return sys.getsizeof
    method = built_in[0] if built_in else object.__sizeof__  # a static type that was never made ready has no mro
    flags = _type_flags(kind)
    header = (16 if flags & _HAVE_GC else 0) + (16 if flags & _PREHEADER else 0)
    return lambda obj: method(obj) + header


def _measure(seen, sizes, objects_to):
    """{type name: [count, bytes]}; for those who look for a difference, a file with a line for each object."""
    by_kind = {}
    functions = {}
    listing = open(objects_to, "w") if objects_to else None
    for key, obj in seen.items():
        kind = type(obj)
        entry = by_kind.get(kind)
        if entry is None:
            entry = by_kind[kind] = [0, 0]
            functions[kind] = _size_function(kind)
        size = sizes[key] if key in sizes else functions[kind](obj)
        entry[0] += 1
        entry[1] += size
        if listing:
            listing.write("%x %s %d\n" % (key, _name(kind), size))
    totals = {}
    for kind, (count, size) in by_kind.items():
        entry = totals.setdefault(_name(kind), [0, 0])
        entry[0] += count
        entry[1] += size
    return totals


def _answer(excluded, out, objects_to):
    try:
        found = _closure(excluded)
        totals = _measure(found[0], found[1], objects_to)
        import json
        text = json.dumps(totals)
    except BaseException:
        import traceback
        text = traceback.format_exc().replace("\n", "\\n")
    with open(out, "w", closefd=False) as stream:
        stream.write(text + "\n")


_OWN_CODE = (_frame_objects.__code__, _closure.__code__, _answer.__code__)


def serve(objects_to=None):
    """Waits for commands of two bytes on standard input: r and newline, answer with the reference; q and newline, end."""
    read, write, fork, waitpid = os.read, os.write, _fork, os.waitpid
    _interned()  # what ctypes makes and keeps at the first time is there from now on
    write(1, b"ready\n")
    command = pid = None
    while True:
        command = read(0, 2)
        if command == b"r\n":
            pid = fork()
            if pid == 0:
                _answer({id(command): command}, 1, objects_to)
                os._exit(0)
            if waitpid(pid, 0)[1]:
                write(1, b"the child that looks at the heap died\n")
        elif command == b"q\n" or not command:
            os._exit(0)
        command = pid = None
