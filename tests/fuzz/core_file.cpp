#include "attach/core_file.h"

#include "attach/base/error.h"
#include "tests/fuzz/fuzz_input.h"

// A core file: headers, segments and notes. It is refused, or its mappings make sense.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    const memsnap::FileInMemory file({data, size});
    const memsnap::CoreFile core(file.path());
    std::uint64_t last = 0;
    for (const memsnap::CoreSegment& segment : core.segments()) {
      memsnap::require(segment.begin >= last && segment.begin < segment.end && segment.present <= segment.stored);
      last = segment.end;
    }
    const memsnap::MemoryMap map = memsnap::memory_map_of(core);
    for (const memsnap::Mapping& mapping : map.mappings()) memsnap::require(mapping.begin < mapping.end);
  } catch (const memsnap::Error&) {
    return 0;  // a refusal
  }
  return 0;
}
