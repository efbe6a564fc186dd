#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attach/base/error.h"
#include "attach/elf_image.h"
#include "attach/process_memory.h"
#include "inject/protocol/heap_layout.h"
#include "snapshot/cpython/py_version.h"

namespace memsnap {

enum class BuildFlavor { kRelease, kDebug };  // kDebug: --with-pydebug

// The CPython inside a target: which one it is, where its state begins, and a layout that was verified on it.
struct PythonProcess {
  PyVersion version{};
  BuildFlavor flavor = BuildFlavor::kRelease;
  std::string image{};                                        // the program or library that contains it, as mapped
  std::uint64_t runtime = 0;                                  // _PyRuntime
  std::uint64_t type_type = 0;                                // PyType_Type
  HeapLayout layout{};                                        // table, overlaid by the target's debug offsets, verified
  std::map<std::string, std::uint64_t, std::less<>> types{};  // exported static types: "PyDict_Type" and its address

  std::optional<std::uint64_t> type(std::string_view symbol) const;
};

// A CPython whose memory does not pass a check: on a running process it may just have changed under the reader's eyes.
class LayoutCheckFailed : public Error {
 public:
  using Error::Error;
};

// Finds and verifies it. `memory` may be a running process or a frozen one. Throws Error kUnsupported that says which:
// not Python at all, PyPy, a release without a table, 32-bit, free-threaded, not initialised; LayoutCheckFailed names
// the check.
PythonProcess find_python(pid_t pid, const std::vector<std::unique_ptr<ElfImage>>& images, const ProcessMemory& memory);

}  // namespace memsnap
