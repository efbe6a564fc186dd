#include "snapshot/cpython/layout_check.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "attach/base/error.h"
#include "snapshot/cpython/gc_lists.h"
#include "snapshot/cpython/interpreters.h"
#include "snapshot/cpython/object_reader.h"

namespace memsnap {
namespace {

constexpr std::size_t kMaxName = 256;
constexpr std::uint64_t kLargestState = 1u << 20;

// One attempt to prove a layout right on the target.
class LayoutCheck {
 public:
  LayoutCheck(const ProcessMemory& memory, PythonProcess& python)
      : memory_(memory), python_(python), layout_(python.layout), reader_(memory, python.layout) {}

  std::optional<std::string> run() {
    struct Check {
      const char* what;
      bool (LayoutCheck::*holds)();
    };
    static constexpr std::array kChecks{
        Check{"the list of interpreters", &LayoutCheck::interpreters_are_sane},
        Check{"the thread states' way back to their interpreter", &LayoutCheck::threads_point_back},
        Check{"type(type) is type", &LayoutCheck::type_is_its_own_type},
        Check{"the names of the builtin types", &LayoutCheck::names_are_right},
        Check{"the basic sizes of the builtin types", &LayoutCheck::sizes_are_right},
        Check{"sys.hexversion", &LayoutCheck::version_is_right},
        Check{"the rings of the collector's lists", &LayoutCheck::collector_has_rings},
    };
    for (const Check& check : kChecks)
      if (!(this->*check.holds)()) return check.what;
    return std::nullopt;
  }

 private:
  bool interpreters_are_sane() {
    list_ = read_interpreters(memory_, python_);
    if (!list_.complete || list_.interpreters.empty()) return false;
    const auto of_this_runtime = [this](const InterpreterState& interpreter) {
      const auto runtime = memory_.try_read<std::uint64_t>(interpreter.address + layout_.interpreter.runtime);
      return interpreter.id >= 0 && (layout_.interpreter.runtime == 0 || runtime == python_.runtime);
    };
    main_ = std::find_if(list_.interpreters.begin(), list_.interpreters.end(),
                         [](const InterpreterState& interpreter) { return interpreter.id == 0; });
    return main_ != list_.interpreters.end() &&
           std::all_of(list_.interpreters.begin(), list_.interpreters.end(), of_this_runtime);
  }

  bool threads_point_back() {
    for (const InterpreterState& interpreter : list_.interpreters)
      for (const ThreadState& thread : interpreter.threads)
        if (memory_.try_read<std::uint64_t>(thread.address + layout_.thread.interp) != interpreter.address)
          return false;
    return !main_->threads.empty();
  }

  bool type_is_its_own_type() {
    const auto dict_type = reader_.type_of(main_->modules);
    const auto type_type = dict_type ? reader_.type_of(*dict_type) : std::nullopt;
    if (!type_type || reader_.type_of(*type_type) != type_type) return false;
    const auto exported = python_.type("PyType_Type");
    if (exported && exported != type_type) return false;
    python_.type_type = *type_type;
    python_.types.try_emplace("PyType_Type", *type_type);
    python_.types.try_emplace("PyDict_Type", *dict_type);
    return true;
  }

  bool name_is(std::string_view symbol, std::string_view expected) const {
    const auto type = python_.type(symbol);
    if (!type) return true;  // not exported by this build
    const auto name = memory_.try_read<std::uint64_t>(*type + layout_.type.tp_name);
    return name && memory_.try_read_c_string(*name, kMaxName) == expected;
  }

  bool names_are_right() {
    return name_is("PyType_Type", "type") && name_is("PyDict_Type", "dict") && name_is("PyList_Type", "list") &&
           name_is("PyTuple_Type", "tuple") && name_is("PyUnicode_Type", "str") && name_is("PyCode_Type", "code");
  }

  bool basic_size_is(std::string_view symbol, unsigned expected) const {
    const auto type = python_.type(symbol);
    if (!type) return true;
    return memory_.try_read<std::int64_t>(*type + layout_.type.tp_basicsize) == static_cast<std::int64_t>(expected);
  }

  // A type says how large its objects are, and a table's last fields say the same: equal only in the right release.
  bool sizes_are_right() {
    constexpr unsigned kPointer = 8;
    const bool frames_of_their_own =
        layout_.frame.size != 0;  // 3.11+: code, frame and generator end in a flexible part
    return basic_size_is("PyType_Type", layout_.type.heap_size) &&
           basic_size_is("PyDict_Type", layout_.dict.ma_values + kPointer) &&
           basic_size_is("PyList_Type", layout_.sequence.list_allocated + kPointer) &&
           basic_size_is("PyTuple_Type", layout_.sequence.tuple_items) &&
           basic_size_is("PyUnicode_Type", layout_.text.full_size) &&
           basic_size_is("PyCode_Type", frames_of_their_own ? layout_.code.co_code_adaptive : layout_.code.size) &&
           basic_size_is("PyFrame_Type", frames_of_their_own
                                             ? layout_.frame_object.f_frame_data + layout_.frame.localsplus + 0u
                                             : layout_.frame_object.size) &&
           basic_size_is("PyGen_Type", frames_of_their_own ? layout_.generator.frame + layout_.frame.localsplus + 0u
                                                           : layout_.generator.size);
  }

  bool version_is_right() {
    const auto number = reader_.find(main_->sysdict, "hexversion");
    const auto value = number ? reader_.integer(*number) : std::nullopt;
    if (!value || *value < 0 || *value > 0xffffffff) return false;
    const PyVersion version(static_cast<std::uint32_t>(*value));
    if (python_.version.hex() != 0) return version == python_.version;
    if (version.hex() >> 16 != layout_.since >> 16) return false;
    python_.version = version;
    return true;
  }

  bool collector_has_rings() {
    try {
      return !find_gc_lists(memory_, python_, list_.interpreters).empty();
    } catch (const Error&) {
      return false;
    }
  }

  const ProcessMemory& memory_;
  PythonProcess& python_;
  const HeapLayout& layout_;
  ObjectReader reader_;
  InterpreterList list_;
  std::vector<InterpreterState>::const_iterator main_;
};

// Looks for fields of the main interpreter again, near where the table has them.
class FieldSearch {
 public:
  FieldSearch(const ProcessMemory& memory, PythonProcess& python, std::uint64_t interpreter)
      : memory_(memory),
        python_(python),
        layout_(python.layout.interpreter),
        reader_(memory, python.layout),
        interpreter_(interpreter) {}

  void settle(const HeapLayout::Interpreter& table) {
    // What lies behind the collector's state moves with it, and what is near the end with the size.
    const auto shift = static_cast<std::int64_t>(layout_.sysdict) - static_cast<std::int64_t>(table.sysdict);
    const auto growth = static_cast<std::int64_t>(layout_.size) - static_cast<std::int64_t>(table.size);
    settle_objects(table, shift);
    settle_static_types(table, {0, shift, growth});
    settle_interned(table, {0, shift, growth});
  }

 private:
  std::uint64_t word(std::int64_t offset) const {
    if (offset <= 0 || offset + 8 > static_cast<std::int64_t>(layout_.size)) return 0;
    return memory_.try_read<std::uint64_t>(interpreter_ + static_cast<std::uint64_t>(offset)).value_or(0);
  }

  bool is_object(std::uint64_t address) const {
    const auto type = reader_.type_of(address);
    return type && (reader_.type_flags(*type) & kFlagReady) != 0 && reader_.is(*type, kFlagType);
  }

  void settle_objects(const HeapLayout::Interpreter& table, std::int64_t shift) {
    std::size_t kept = 0;
    for (const std::uint32_t offset : table.objects) {
      if (offset == 0) break;
      const std::int64_t moved = offset > table.gc ? offset + shift : offset;
      const std::uint64_t object = word(moved);
      if (object == 0 || is_object(object)) layout_.objects[kept++] = static_cast<std::uint32_t>(moved);
    }
    std::fill(std::begin(layout_.objects) + kept, std::end(layout_.objects), 0u);
  }

  // The item of a static type is found by the number that the type carries, and begins with the type's address.
  bool static_types_at(std::int64_t offset) const {
    const auto object_type = memory_.try_read<std::uint64_t>(python_.type_type + python_.layout.type.tp_base);
    for (const std::uint64_t type : {python_.type_type, object_type.value_or(0)}) {
      const auto number = memory_.try_read<std::uint64_t>(type + python_.layout.type.tp_subclasses);
      if (!number || *number == 0 || *number > layout_.static_types_limit) return false;
      if (word(offset + static_cast<std::int64_t>((*number - 1) * layout_.static_type_size)) != type) return false;
    }
    return true;
  }

  void settle_static_types(const HeapLayout::Interpreter& table, std::initializer_list<std::int64_t> shifts) {
    if (table.static_types == 0) return;
    for (const std::int64_t shift : shifts)
      if (static_types_at(table.static_types + shift)) return place_static_types(table, table.static_types + shift);
    const std::int64_t end = std::min<std::int64_t>(layout_.size, kLargestState);
    for (std::int64_t offset = 8; offset < end; offset += 8)
      if (static_types_at(offset)) return place_static_types(table, offset);
    place_static_types(table, 0);
  }

  void place_static_types(const HeapLayout::Interpreter& table, std::int64_t offset) {
    layout_.static_types = static_cast<std::uint32_t>(offset);
    const bool has_extensions = offset != 0 && table.extension_types != 0;
    layout_.extension_types =
        has_extensions ? static_cast<std::uint32_t>(offset) + (table.extension_types - table.static_types) : 0;
    if (offset == 0) layout_.static_types_limit = layout_.extension_types_limit = 0;
  }

  void settle_interned(const HeapLayout::Interpreter& table, std::initializer_list<std::int64_t> shifts) {
    if (table.interned == 0) return;
    for (const std::int64_t shift : shifts) {
      const std::uint64_t dict = word(table.interned + shift);
      layout_.interned = static_cast<std::uint32_t>(table.interned + shift);
      if (dict != 0 && reader_.is(dict, kFlagDict)) return;
    }
    layout_.interned = 0;
  }

  const ProcessMemory& memory_;
  PythonProcess& python_;
  HeapLayout::Interpreter& layout_;
  ObjectReader reader_;
  std::uint64_t interpreter_;
};

}  // namespace

std::optional<std::string> check_layout(const ProcessMemory& memory, PythonProcess& python) {
  // In a running process a check may look at a list that is just being changed; what is wrong for good stays wrong.
  constexpr int kAttempts = 4;
  std::optional<std::string> wrong;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    wrong = LayoutCheck(memory, python).run();
    if (!wrong) break;
  }
  return wrong;
}

void settle_interpreter_fields(const ProcessMemory& memory, const HeapLayout& table, PythonProcess& python) {
  const auto interpreters = read_interpreters(memory, python).interpreters;
  const auto main = std::find_if(interpreters.begin(), interpreters.end(),
                                 [](const InterpreterState& interpreter) { return interpreter.id == 0; });
  if (main != interpreters.end()) FieldSearch(memory, python, main->address).settle(table.interpreter);
}

}  // namespace memsnap
