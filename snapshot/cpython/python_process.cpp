#include "snapshot/cpython/python_process.h"

#include <fmt/core.h>

#include <array>
#include <charconv>
#include <span>

#include "attach/base/error.h"
#include "snapshot/cpython/debug_offsets.h"
#include "snapshot/cpython/layout_check.h"
#include "snapshot/cpython/py_layout.h"

namespace memsnap {
namespace {

constexpr const char* kSupportedHint = "memsnap reads CPython 3.8 to 3.15 on 64-bit x86 Linux";

constexpr std::array kTypeSymbols{
    "PyType_Type",         "PyBaseObject_Type",  "PyLong_Type",        "PyBool_Type",         "PyFloat_Type",
    "PyComplex_Type",      "PyUnicode_Type",     "PyBytes_Type",       "PyByteArray_Type",    "PyTuple_Type",
    "PyList_Type",         "PyDict_Type",        "PySet_Type",         "PyFrozenSet_Type",    "PyODict_Type",
    "PyRange_Type",        "PySlice_Type",       "PyMemoryView_Type",  "PyModule_Type",       "PyFunction_Type",
    "PyMethod_Type",       "PyCFunction_Type",   "PyCode_Type",        "PyFrame_Type",        "PyCell_Type",
    "PyGen_Type",          "PyCoro_Type",        "PyAsyncGen_Type",    "PyTraceBack_Type",    "PyProperty_Type",
    "PyStaticMethod_Type", "PyClassMethod_Type", "PySuper_Type",       "PyCapsule_Type",      "PyContext_Type",
    "PyMemberDescr_Type",  "PyGetSetDescr_Type", "PyMethodDescr_Type", "PyWrapperDescr_Type", "PyDictProxy_Type",
    "PyEllipsis_Type",     "PyFilter_Type",      "PyMap_Type",         "PyZip_Type",          "PyEnum_Type",
};

// "3.6" out of ".../bin/python3.6m" or "libpython3.6m.so.1.0": only for words, and to choose among refusals.
std::optional<PyVersion> version_in_path(std::string_view path) {
  const auto at = path.rfind("python");
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view rest = path.substr(at + std::string_view("python").size());
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  const auto [dot, no_major] = std::from_chars(rest.data(), rest.data() + rest.size(), major);
  if (no_major != std::errc{} || dot == rest.data() + rest.size() || *dot != '.') return std::nullopt;
  const auto [end, no_minor] = std::from_chars(dot + 1, rest.data() + rest.size(), minor);
  if (no_minor != std::errc{} || major > 3 || minor > 99 || end == dot + 1) return std::nullopt;
  return PyVersion(major << 24 | minor << 16 | 0xf0);
}

bool exports_any(const ElfImage& image, std::initializer_list<std::string_view> symbols) {
  for (const std::string_view symbol : symbols)
    if (image.symbol(symbol)) return true;
  return false;
}

std::optional<std::uint64_t> runtime_of(const ElfImage& image) {
  if (const auto symbol = image.symbol("_PyRuntime")) return symbol;
  if (const auto section = image.section(".PyRuntime")) return section->begin;
  return std::nullopt;
}

[[noreturn]] void refuse(const std::string& what, const char* hint = kSupportedHint) {
  throw Error(ExitCode::kUnsupported, what, hint);
}

// No image holds a _PyRuntime, which every CPython since 3.7 has.
[[noreturn]] void refuse_not_cpython(pid_t pid, const std::vector<std::unique_ptr<ElfImage>>& images) {
  for (const auto& image : images) {
    if (exports_any(*image, {"pypy_main_startup", "rpython_startup_code", "pypy_execute_source"}))
      refuse(fmt::format("process {} runs PyPy, which is not CPython", pid));
    if (!exports_any(*image, {"Py_Initialize", "Py_GetVersion"})) continue;
    const auto version = version_in_path(image->path());
    if (exports_any(*image, {"PyString_Type", "PyInt_Type"}))
      refuse(fmt::format("process {} runs CPython {}, which is not supported", pid,
                         version ? version->minor_text() : "2"));
    refuse(fmt::format("process {} runs CPython {}, which is not supported", pid,
                       version ? version->minor_text() : "older than 3.7"));
  }
  refuse(fmt::format("process {} is not Python: no program or library in it is a CPython", pid),
         "give the pid of the Python process itself; `memsnap ps` lists those it can read");
}

PythonProcess describe(const ElfImage& image, std::uint64_t runtime) {
  PythonProcess python{.image = image.path(), .runtime = runtime};
  if (exports_any(image, {"_Py_RefTotal", "_Py_NegativeRefcount"})) python.flavor = BuildFlavor::kDebug;
  for (const char* symbol : kTypeSymbols)
    if (const auto address = image.symbol(symbol)) python.types.emplace(symbol, *address);
  return python;
}

// A release says its number in the debug offsets (3.13+) or by Py_Version (3.11+). Before that there is nothing at a
// known place, so each table is tried, and sys.hexversion must agree with it.
class Finder {
 public:
  Finder(pid_t pid, const ElfImage& image, std::uint64_t runtime, const ProcessMemory& memory)
      : pid_(pid), image_(image), runtime_(runtime), memory_(memory) {}

  // Empty when no interpreter is running in this image.
  std::optional<PythonProcess> find() const {
    if (const auto offsets = read_debug_offsets(memory_, runtime_)) {
      if (offsets->free_threaded)
        refuse(fmt::format("process {} runs a free-threaded CPython {}, which is not supported yet", pid_,
                           offsets->version.text()),
               "run the program with the default build of the same release");
      return with_table(layout_for(offsets->version.hex()), offsets->version, &*offsets);
    }
    if (const auto version = exported_version()) return with_table(layout_for(version->hex()), *version, nullptr);
    return by_trying();
  }

 private:
  std::optional<PyVersion> exported_version() const {
    const auto symbol = image_.symbol("Py_Version");
    const auto number = symbol ? memory_.try_read<std::uint64_t>(*symbol) : std::nullopt;
    if (!number || *number >> 32 != 0) return std::nullopt;
    const PyVersion version(static_cast<std::uint32_t>(*number));
    return version.plausible() ? std::optional(version) : std::nullopt;
  }

  bool initialised(const HeapLayout& layout) const {
    return memory_.try_read<std::uint64_t>(runtime_ + layout.runtime.interpreters_head).value_or(0) != 0;
  }

  std::optional<PythonProcess> with_table(const HeapLayout& table, PyVersion version,
                                          const DebugOffsets* offsets) const {
    PythonProcess python = describe(image_, runtime_);
    python.version = version;
    python.layout = table;
    if (offsets) overlay(*offsets, python.layout);
    if (!initialised(python.layout)) return std::nullopt;
    if (const auto wrong = check_layout(memory_, python)) refuse_unverified(version.text(), *wrong);
    settle_interpreter_fields(memory_, table, python);
    return python;
  }

  std::optional<PythonProcess> by_trying() const {
    constexpr std::uint32_t kFirstThatSaysItself = 0x030b0000;
    const auto named = version_in_path(image_.path());
    std::string wrong = "the version";
    bool any_initialised = false;
    for (const HeapLayout& table : all_layouts()) {
      if (table.since >= kFirstThatSaysItself) break;
      any_initialised |= initialised(table);
      PythonProcess python = describe(image_, runtime_);
      python.layout = table;
      const auto problem = check_layout(memory_, python);
      if (!problem) return python;
      if (named && named->minor() == PyVersion(table.since).minor()) wrong = *problem;
    }
    if (named) layout_for(named->hex());  // says so when its name is that of a release without a table
    if (!any_initialised) return std::nullopt;
    refuse_unverified(named ? named->minor_text() : "older than 3.11", wrong);
  }

  [[noreturn]] void refuse_unverified(const std::string& version, const std::string& check) const {
    throw LayoutCheckFailed(
        ExitCode::kUnsupported,
        fmt::format("process {} looks like CPython {}, but this check failed: {}", pid_, version, check),
        "it may be a modified or patched CPython, or its memory is damaged; try again if it was just starting or "
        "ending");
  }

  pid_t pid_;
  const ElfImage& image_;
  std::uint64_t runtime_;
  const ProcessMemory& memory_;
};

}  // namespace

std::optional<std::uint64_t> PythonProcess::type(std::string_view symbol) const {
  const auto found = types.find(symbol);
  return found == types.end() ? std::nullopt : std::optional(found->second);
}

PythonProcess find_python(pid_t pid, const std::vector<std::unique_ptr<ElfImage>>& images,
                          const ProcessMemory& memory) {
  if (!images.empty() && !images.front()->is_64_bit_x86())
    refuse(fmt::format("process {} is not a 64-bit x86 program", pid));
  const ElfImage* idle = nullptr;
  for (const auto& image : images) {
    const auto runtime = runtime_of(*image);
    if (!runtime) continue;
    if (auto python = Finder(pid, *image, *runtime, memory).find()) return *std::move(python);
    idle = image.get();
  }
  if (!idle) refuse_not_cpython(pid, images);
  refuse(fmt::format("no Python interpreter is running in process {}: {} is loaded, but not initialised", pid,
                     idle->path()),
         "try again when the program has started Python (or before it has ended it)");
}

}  // namespace memsnap
