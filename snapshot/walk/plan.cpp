#include "snapshot/walk/plan.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "snapshot/cpython/attributes.h"
#include "snapshot/cpython/frames.h"
#include "snapshot/cpython/gc_lists.h"
#include "snapshot/cpython/interpreters.h"
#include "snapshot/cpython/object_reader.h"
#include "snapshot/walk/collector_lists.h"
#include "snapshot/walk/interned_dict.h"

namespace memsnap {
namespace {

constexpr std::size_t kMaxName = 256;
constexpr std::size_t kMaxStaticTypes = 1024;
constexpr std::size_t kMaxExceptions = 64;
constexpr std::size_t kMaxInterned = 1u << 26;
constexpr std::uint64_t kSmallestModule = 24;  // basicsize: tells a module from the None that blocks an import

class Planner {
 public:
  Planner(const ProcessMemory& memory, const MemoryMap& map, const PythonProcess& python, Log& log)
      : memory_(memory), map_(map), python_(python), layout_(python.layout), reader_(memory, layout_), log_(log) {}

  WalkPlan make() {
    const InterpreterList list = read_interpreters(memory_, python_);
    if (!list.complete)
      log_.warning("interpreters", "the list of interpreters or threads is damaged: roots may be missing");
    plan_.layout = &layout_;
    plan_.code_type = python_.type("PyCode_Type").value_or(0);
    for (const InterpreterState& interpreter : list.interpreters) {
      add_modules(interpreter);
      add_interpreter_objects(interpreter);
      const auto names = thread_names(interpreter);
      for (const ThreadState& thread : interpreter.threads) add_thread(interpreter, thread, names);
    }
    if (layout_.interpreter.interned == 0) add_interned(find_interned(memory_, map_, python_));
    add_lists(list.interpreters);
    return std::move(plan_);
  }

 private:
  std::uint64_t word(std::uint64_t address) const { return memory_.try_read<std::uint64_t>(address).value_or(0); }

  void add_modules(const InterpreterState& interpreter) {
    late(RootKind::kInterpreter, interpreter.modules, interpreter);
    late(RootKind::kInterpreter, interpreter.sysdict, interpreter);
    late(RootKind::kInterpreter, interpreter.builtins, interpreter);
    reader_.for_each_entry(interpreter.modules, [&](std::uint64_t key, std::uint64_t module) {
      const auto type = reader_.type_of(module);
      if (!type || word(*type + layout_.type.tp_basicsize) < kSmallestModule) return true;
      std::string name = reader_.text(key, kMaxName).value_or("?");
      if (name == "sys") learn_subtype_traverse(module);
      const RootKind kind = name == "builtins" ? RootKind::kBuiltins : RootKind::kModule;
      if (interpreter.id != 0) name += fmt::format(" (interpreter {})", interpreter.id);
      plan_.roots.push_back({kind, module, std::move(name)});
      return true;
    });
  }

  // ModuleSpec is a plain Python class: its tp_traverse is the one of all of them.
  void learn_subtype_traverse(std::uint64_t sys) {
    const std::uint64_t dict = word(sys + layout_.module.md_dict);
    const auto spec = dict == 0 ? std::nullopt : reader_.find(dict, "__spec__");
    const auto type = spec ? reader_.type_of(*spec) : std::nullopt;
    if (!type || (reader_.type_flags(*type) & kFlagHeapType) == 0) return;
    plan_.subtype_traverse = word(*type + layout_.type.tp_traverse);
  }

  void late(RootKind kind, std::uint64_t object, const InterpreterState& interpreter) {
    if (object != 0) plan_.late_roots.push_back({kind, object, fmt::format("interpreter {}", interpreter.id)});
  }

  void add_interpreter_objects(const InterpreterState& interpreter) {
    for (const std::uint32_t offset : layout_.interpreter.objects) {
      if (offset == 0) break;
      const std::uint64_t object = word(interpreter.address + offset);
      if (!reader_.type_of(object)) continue;
      add_module_states(object, interpreter);
      late(RootKind::kInterpreter, object, interpreter);
    }
    if (layout_.interpreter.interned != 0) add_interned(word(interpreter.address + layout_.interpreter.interned));
    add_static_type_dicts(interpreter, layout_.interpreter.static_types, layout_.interpreter.static_types_limit);
    add_static_type_dicts(interpreter, layout_.interpreter.extension_types, layout_.interpreter.extension_types_limit);
  }

  // The list by which C finds a module again (PyState_FindModule) keeps modules that are no longer in sys.modules.
  void add_module_states(std::uint64_t list, const InterpreterState& interpreter) {
    if (!reader_.is(list, kFlagList)) return;
    const auto module_type = python_.type("PyModule_Type");
    for (const std::uint64_t module : reader_.items(list)) {
      if (module == 0 || !module_type || reader_.type_of(module) != module_type) continue;
      const std::uint64_t dict = word(module + layout_.module.md_dict);
      const auto name = dict == 0 ? std::nullopt : reader_.find(dict, "__name__");
      std::string text = name ? reader_.text(*name, kMaxName).value_or("?") : "?";
      if (interpreter.id != 0) text += fmt::format(" (interpreter {})", interpreter.id);
      plan_.late_roots.push_back({RootKind::kModuleState, module, std::move(text)});
    }
  }

  void add_interned(std::uint64_t dict) {
    reader_.for_each_entry(
        dict,
        [&](std::uint64_t key, std::uint64_t) {
          plan_.late_roots.push_back({RootKind::kInterned, key, "interned strings"});
          return true;
        },
        kMaxInterned);
  }

  // From 3.12 on the dict and subclasses of a static builtin type are the interpreter's.
  void add_static_type_dicts(const InterpreterState& interpreter, std::uint32_t offset, std::uint32_t limit) {
    const HeapLayout::Interpreter& at = layout_.interpreter;
    if (offset == 0 || at.static_type_size == 0) return;
    for (std::uint64_t i = 0; i < limit && i < kMaxStaticTypes; ++i) {
      const std::uint64_t item = interpreter.address + offset + i * at.static_type_size;
      for (const std::uint16_t field : {at.static_type_dict, at.static_type_subclasses}) {
        const std::uint64_t object = word(item + field);
        if (object > 0xffff && reader_.type_of(object))
          plan_.roots.push_back({RootKind::kType, object, "static type namespaces"});
      }
    }
  }

  // What Python calls its threads, by what pthread_self() says in them.
  std::map<std::uint64_t, std::string> thread_names(const InterpreterState& interpreter) const {
    std::map<std::uint64_t, std::string> names;
    for (const auto& [id, thread] : active_threads(reader_, interpreter)) {
      if (const auto name = find_attribute(reader_, thread, "_name"))
        names[id] = reader_.text(*name, kMaxName).value_or("");
    }
    return names;
  }

  void add_thread(const InterpreterState& interpreter, const ThreadState& state,
                  const std::map<std::uint64_t, std::string>& names) {
    PlannedThread thread;
    thread.state = state.address;
    const auto name = names.find(state.thread_id);
    thread.name = name != names.end() && !name->second.empty() ? name->second : fmt::format("{:#x}", state.thread_id);
    if (state.native_thread_id != 0) thread.name += fmt::format(" (tid {})", state.native_thread_id);
    if (interpreter.id != 0) thread.name += fmt::format(" (interpreter {})", interpreter.id);
    for_each_frame(memory_, python_, state, [&](const RunningFrame& frame) {
      if (frame.kind == FrameKind::kGenerator) {
        thread.objects.push_back(frame.address - layout_.generator.frame);
      } else if (frame.kind !=
                 FrameKind::kInterpreter) {  // that one has no locals, and its other fields are not filled
        thread.frames.push_back(frame.address);
      }
    });
    add_thread_objects(state, thread);
    plan_.threads.push_back(std::move(thread));
  }

  void add_thread_objects(const ThreadState& state, PlannedThread& thread) const {
    const auto add = [&](std::uint64_t object) {
      if (object != 0 && reader_.type_of(object)) thread.objects.push_back(object);
    };
    for (const std::uint16_t offset : layout_.thread.objects) {
      if (offset == 0) break;
      add(word(state.address + offset));
    }
    if (layout_.thread.exc_info == 0) return;
    std::uint64_t item = word(state.address + layout_.thread.exc_info);
    for (std::size_t depth = 0; item != 0 && depth < kMaxExceptions; ++depth) {
      for (std::uint64_t i = 0; i < layout_.thread.exc_item_values; ++i)
        add(word(item + layout_.thread.exc_item_value + 8 * i));
      item = word(item + layout_.thread.exc_item_previous);
    }
  }

  void add_lists(const std::vector<InterpreterState>& interpreters) {
    for (const GcLists& lists : find_gc_lists(memory_, python_, interpreters)) {
      plan_.during_collection = plan_.during_collection || lists.collecting;
      plan_.gc_heads.insert(plan_.gc_heads.end(), lists.heads.begin(), lists.heads.end());
      if (!lists.permanent) continue;
      plan_.permanent_index = plan_.gc_heads.size();  // of the last interpreter that has one
      plan_.gc_heads.push_back(*lists.permanent);
    }
    if (!plan_.during_collection) return;
    std::vector<std::uint64_t> threads;
    for (const InterpreterState& interpreter : interpreters) {
      for (const ThreadState& thread : interpreter.threads) threads.push_back(thread.thread_id);
    }
    const auto heads = find_stack_heads(memory_, map_, layout_, threads, plan_.gc_heads);
    plan_.gc_heads.insert(plan_.gc_heads.end(), heads.begin(), heads.end());
  }

  const ProcessMemory& memory_;
  const MemoryMap& map_;
  const PythonProcess& python_;
  const HeapLayout& layout_;
  ObjectReader reader_;
  Log& log_;
  WalkPlan plan_;
};

}  // namespace

WalkPlan make_plan(const ProcessMemory& memory, const MemoryMap& map, const PythonProcess& python, Log& log) {
  return Planner(memory, map, python, log).make();
}

}  // namespace memsnap
