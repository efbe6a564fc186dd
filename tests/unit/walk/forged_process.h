#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "attach/frozen_process.h"
#include "snapshot/cpython/python_process.h"
#include "tests/unit/cpython/fake_heap.h"
#include "tests/unit/walk/hostile_memory.h"

namespace memsnap {

// A whole CPython that exists only in a test: a runtime with one interpreter, one thread with a frame, the collector's
// lists, three modules, and objects of the kinds that have structure. Frozen, without a child in which code could run.
class ForgedProcess final : public FrozenProcess {
 public:
  explicit ForgedProcess(std::uint32_t version) : heap(version), memory_(heap), map_(std::vector<Mapping>{}) {
    python.version = PyVersion(version);
    python.layout = heap.layout;
    make_types();
    runtime = heap.allocate(at.runtime.size);
    interpreter = heap.allocate(at.interpreter.size);
    thread = heap.allocate(at.thread.size);
    python.runtime = runtime;
    heap.put(runtime + at.runtime.interpreters_head, interpreter);
    heap.put(interpreter + at.interpreter.threads_head, thread);
    heap.put(thread + at.thread.thread_id, std::uint64_t{0x7777});
    first = heap.allocate(16);
    make_objects();
    make_frame();
    make_lists();
    last = heap.allocate(16);
    map_ = MemoryMap({{.begin = FakeArena::kBegin,
                       .end = (last + 8192) / 4096 * 4096,
                       .readable = true,
                       .writable = true,
                       .name = "/usr/bin/python3"}});
  }

  const ProcessMemory& memory() const override { return memory_; }
  const MemoryMap& map() const override { return map_; }
  const FreezeFacts& facts() const override { return facts_; }
  std::vector<std::string> release() override { return {}; }

  std::uint64_t make_module(std::string_view name, std::uint64_t dict) {
    const auto module = heap.make_object(module_type, 128);
    heap.put(module + at.module.md_dict, dict);
    heap.put(module + at.module.md_name, heap.make_text(name));
    return module;
  }
  // Puts the frame on the thread, wherever this release keeps it.
  void set_current_frame(std::uint64_t to) {
    if (at.thread.cframe != 0) {
      const auto c_frame = heap.allocate(64);
      heap.put(thread + at.thread.cframe, c_frame);
      heap.put(c_frame + at.thread.cframe_current, to);
    } else {
      heap.put(thread + (at.thread.frame != 0 ? at.thread.frame : at.thread.current_frame), to);
    }
  }

  FakeHeap heap;
  PythonProcess python;
  std::uint64_t runtime = 0, interpreter = 0, thread = 0, modules = 0, frame = 0;
  std::uint64_t first = 0, last = 0;  // all objects and frames are between them
  std::vector<std::uint64_t> objects;
  std::vector<std::uint64_t> heads;  // of the collector's lists

 private:
  void make_types() {
    const auto collected = [&](std::string_view name, std::uint64_t size) {
      return heap.make_static_type(name, heap.object, kFlagHaveGc, size);
    };
    module_type = collected("module", 56);
    code_type = heap.make_static_type("code", heap.object, 0, at.code.size);
    frame_type = collected("frame", at.frame_object.size);
    set_type = collected("set", 200);
    generator_type = collected("generator", at.generator.size);
    array_type = heap.make_static_type("numpy.ndarray", heap.object, 0, 80);
    python.types = {{"PyModule_Type", module_type}, {"PyCode_Type", code_type}, {"PyDict_Type", heap.dict}};
    python.type_type = heap.type;
  }

  std::uint64_t add(std::uint64_t object) {
    objects.push_back(object);
    return object;
  }

  void make_objects() {
    const auto number = add(heap.make_integer(7));
    const auto tuple = add(heap.make_tuple({number, heap.make_text("text"), heap.list}));
    const auto list = add(heap.make_object(heap.list, 40));
    heap.put(list + at.sequence.list_items, tuple + at.sequence.tuple_items);
    heap.put(list + at.object.ob_size, std::uint64_t{3});
    heap.put(list + at.sequence.list_allocated, std::uint64_t{3});
    const auto set = add(heap.make_object(set_type, 200));
    heap.put(set + at.set.table, set + at.set.smalltable);
    heap.put(set + at.set.mask, std::uint64_t{7});
    heap.put(set + at.set.smalltable, number);
    const auto made = heap.make_class("m", "Thing", heap.object, 32);
    heap.add_members(made, {{"slot", 16}});
    const auto instance = add(heap.make_object(made, 64));
    heap.put(instance + 16, tuple);
    const auto array = add(heap.make_object(array_type, 96));
    const auto shape = heap.allocate(32);
    const auto descr = heap.make_object(heap.make_static_type("numpy.dtype", heap.object, 0, 96), 128);
    heap.put(descr + 28, 17);
    heap.put(shape, std::uint64_t{3});
    heap.put(shape + 8, std::uint64_t{8});
    heap.put(array + 16, tuple + at.sequence.tuple_items);
    heap.put(array + 24, 1);
    heap.put(array + 32, shape);
    heap.put(array + 40, shape + 8);
    heap.put(array + 56, descr);
    const auto dict =
        add(heap.make_dict({{"list", list}, {"set", set}, {"thing", instance}, {"array", array}, {"tuple", tuple}}));
    const auto sys = make_module("sys", heap.make_dict({{"__spec__", instance}}));
    const auto threading = make_module("threading", heap.make_dict({{"_active", heap.make_dict({{"x", instance}})}}));
    const auto shop = make_module("shop", dict);
    modules = add(heap.make_dict({{"sys", sys}, {"threading", threading}, {"shop", shop}}));
    heap.put(interpreter + at.interpreter.modules, modules);
    heap.put(interpreter + at.interpreter.sysdict, dict);
    heap.put(interpreter + at.interpreter.builtins, dict);
    objects.insert(objects.end(), {sys, threading, shop});
  }

  void make_frame() {
    const auto code = add(heap.make_object(code_type, at.code.size));
    const auto names = heap.make_tuple({heap.make_text("a"), heap.make_text("b")});
    heap.put(code + at.code.co_nlocals, 2);
    heap.put(code + at.code.co_stacksize, 2);
    if (at.frame.size == 0) {
      frame = add(heap.make_object(frame_type, at.frame_object.size + 64u));
      heap.put(code + at.code.co_varnames, names);
      heap.put(frame + at.frame_object.f_code, code);
      heap.put(frame + at.frame_object.f_localsplus, objects[1]);
    } else {
      heap.put(code + at.code.co_nlocalsplus, 2);
      heap.put(code + at.code.co_framesize, 4);
      heap.put(code + at.code.co_localsplusnames, names);
      frame = heap.allocate(at.frame.localsplus + 64u);
      heap.put(frame + at.frame.executable, code);
      heap.put(frame + at.frame.localsplus, objects[1]);
      const auto holder = add(heap.make_object(frame_type, at.frame_object.size + 256u));
      heap.put(holder + at.frame_object.f_frame, holder + at.frame_object.f_frame_data);
      heap.put(holder + at.frame_object.f_frame_data + at.frame.executable, code);
    }
    set_current_frame(frame);
    const auto generator = add(heap.make_object(generator_type, at.generator.size + 256u));
    if (at.generator.frame != 0) {
      heap.put(generator + at.generator.frame + at.frame.executable, code);
      heap.put(generator + at.generator.frame_state, std::int8_t{-1});
    } else {
      heap.put(generator + at.generator.frame_object, frame);
    }
  }

  // All objects in the youngest generation; their heads are in the room that allocate() leaves between objects.
  void make_lists() {
    const auto collector = at.runtime.gc != 0 ? runtime + at.runtime.gc : interpreter + at.interpreter.gc;
    const auto begin = collector + at.interpreter.gc_generations;
    for (std::uint64_t i = 0; i < 3; ++i) heads.push_back(begin + i * at.interpreter.gc_generation_size);
    heads.push_back(heads.back() + at.interpreter.gc_generation_size + 8);
    for (const auto head : heads) link(head, {});
    std::vector<std::uint64_t> collected;
    for (const auto object : objects) {
      const auto type = heap.read<std::uint64_t>(object + at.object.ob_type);
      if ((heap.read<std::uint64_t>(type + at.type.tp_flags) & kFlagHaveGc) != 0) collected.push_back(object - 16);
    }
    link(heads[0], collected);
  }
  void link(std::uint64_t head, std::vector<std::uint64_t> nodes) {
    nodes.insert(nodes.begin(), head);
    for (std::size_t i = 0; i < nodes.size(); ++i) {
      const auto next = nodes[(i + 1) % nodes.size()];
      heap.put(nodes[i], next);
      heap.put(next + 8, nodes[i]);
    }
  }

  const HeapLayout& at = heap.layout;
  HostileMemory memory_;
  MemoryMap map_;
  FreezeFacts facts_;
  std::uint64_t module_type = 0, code_type = 0, frame_type = 0, set_type = 0, generator_type = 0, array_type = 0;
};

}  // namespace memsnap
