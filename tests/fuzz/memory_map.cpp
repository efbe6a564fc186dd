#include "attach/memory_map.h"

#include "tests/fuzz/fuzz_input.h"

using memsnap::MemoryMap;

// /proc/PID/maps: names of mappings are chosen by the target. Each address is found in the mapping that has it.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const MemoryMap map = MemoryMap::parse({reinterpret_cast<const char*>(data), size});
  std::uint64_t last = 0;
  for (const memsnap::Mapping& mapping : map.mappings()) {
    memsnap::require(mapping.begin < mapping.end && mapping.begin >= last && mapping.size() > 0);
    last = mapping.begin;
    const memsnap::Mapping* const found = map.find(mapping.end - 1);
    memsnap::require(found == nullptr || (found->begin < mapping.end && found->end >= mapping.end));
  }
  (void)map.find(0);
  (void)map.find(~0ull);
  return 0;
}
