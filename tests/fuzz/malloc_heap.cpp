#include <algorithm>
#include <array>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "snapshot/memory/breakdown.h"
#include "snapshot/memory/native_blocks.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/unit/memory/fake_malloc.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kPools = 0x20000000;
constexpr std::uint64_t kPoolBytes = 0x10000;
constexpr std::uint64_t kSecond = 0x7e0000000000;  // a heap of another arena
constexpr std::uint64_t kSecondBytes = 0x4000;
constexpr std::uint64_t kSecondArena = kSecond + 48;
constexpr std::uint64_t kTable = FakeMalloc::kData + 0x2000;  // of pymalloc's arenas
constexpr std::uint64_t kLookedAt = 0x4000;                   // of a part of memory: where words are forged
constexpr std::array<std::uint64_t, 4> kParts{FakeMalloc::kHeap, kPools, kSecond, FakeMalloc::kData};

MemoryMap fuzzed_map() {
  return MemoryMap::parse(
      "10000000-10100000 rw-p 00000000 00:00 0                          [heap]\n"
      "20000000-20010000 rw-p 00000000 00:00 0 \n"
      "7e0000000000-7e0000004000 rw-p 00000000 00:00 0 \n"
      "7f0000000000-7f0000004000 rw-p 00000000 fe:00 77                 /usr/lib/libc.so.6\n");
}

// Two arenas with some chunks each, and two of pymalloc's pools.
struct Forged {
  FakeMalloc fake;
  HeapGraph graph;
  std::vector<std::uint64_t> chunks = fake.fill({0x290, 0x40, 0x1000, 0x220, 0x220, 0x30, 0x20000, 0x800});

  Forged() {
    fake.memory.map(kPools, kPoolBytes);
    fake.memory.map(kSecond, kSecondBytes);
    fake.memory.put(kSecond, kSecondArena);
    fake.memory.put(kSecond + 16, kSecondBytes);
    for (std::uint64_t i = 0; i < 127; ++i) {
      const std::uint64_t bin = kSecondArena + 112 + 16 * i;
      fake.memory.put(bin, bin - 16);
      fake.memory.put(bin + 8, bin - 16);
    }
    fake.memory.put(FakeMalloc::kArena + 112 + 2048, kSecondArena);
    fake.memory.put(kSecondArena + 112 + 2048, FakeMalloc::kArena);
    fake.memory.put(kSecondArena + 112 + 2072, kSecondBytes);
    fake.memory.put(kSecondArena + 112 + 2080, kSecondBytes);
    const std::uint64_t first = kSecond + 0x900;
    fake.memory.put(kSecondArena + 96, first + 0x100);
    fake.set_size(first, 0x105);
    fake.set_size(first + 0x100, (kSecondBytes - 0xa00) | 1);
    for (const std::uint64_t pool : {kPools, kPools + 0x4000}) {
      fake.memory.put(pool, std::uint32_t{3});          // blocks in use
      fake.memory.put(pool + 36, std::uint32_t{3});     // of which size
      fake.memory.put(pool + 40, std::uint32_t{1000});  // those behind it were never used
    }
  }

  std::uint64_t place(FuzzInput& input) const {
    const auto part = input.take<std::uint8_t>();
    const auto offset = input.take<std::uint16_t>();
    if (part % 8 == 7) return chunks[offset % chunks.size()];
    return kParts[part % kParts.size()] + offset % (kLookedAt / 8) * 8;
  }

  void overwrite(FuzzInput& input) {
    const std::uint64_t at = place(input);
    const auto kind = input.take<std::uint8_t>();
    const std::uint64_t value = kind % 2 == 0 ? place(input) + kind / 2 % 2 * 16 : input.take<std::uint64_t>();
    fake.memory.put(at, kind % 16 == 15 ? std::uint64_t{1} << value % 64 : value);
  }

  void add_types(FuzzInput& input) {
    for (const char* name : {"shop.Native", "builtins.list", "builtins.module", "collections.deque"}) {
      TypeEntry type;
      type.name = graph.strings.add(name);
      type.address = kPools + 0x8000;
      type.basic_size = input.take<std::uint16_t>();
      graph.types.push_back(type);
    }
  }

  void add_objects(FuzzInput& input) {
    std::set<std::uint64_t> places;
    for (unsigned i = 0, count = input.take<std::uint8_t>() % 32; i < count; ++i) places.insert(place(input) + 32);
    for (const std::uint64_t address : places) {
      graph.address.push_back(address);
      graph.type.push_back(input.take<std::uint8_t>() % 4);
      graph.size.push_back(input.take<std::uint16_t>());
      graph.flags.push_back(input.take<std::uint8_t>() % 64);
    }
  }

  void look(FuzzInput& input) {
    const MemoryMap map = fuzzed_map();
    const ProcessMemory& memory = fake.memory;
    MallocUse use;
    use.heaps = find_malloc_heaps(memory, memory, map, FakeMalloc::data(), nullptr, {});
    use.arenas = find_pymalloc_arenas(memory, memory, map, {{kTable, kTable + 64}});
    if (use.arenas.empty()) {
      const std::uint32_t pool = input.take<std::uint8_t>() % 2 == 0 ? 4096 : 16384;
      use.arenas.push_back({kPools, kPools + kPoolBytes, static_cast<std::uint32_t>(kPoolBytes), pool});
    }
    use.python = find_python_blocks(memory, graph, use.heaps, use.arenas, {});
    const NativeBlocks found = find_native_blocks(memory, memory, graph, {}, use);
    require(found.nodes.address.size() == found.blocks &&
            std::is_sorted(found.nodes.address.begin(), found.nodes.address.end()));
    require(found.blocks + found.unowned_blocks <= (FakeMalloc::kHeapSize + kPoolBytes + kSecondBytes) / 8);
  }
};

}  // namespace
}  // namespace memsnap

// Allocators whose words were overwritten, and objects anywhere in them: the number of words, each one's place and
// value, then types and objects. Nothing is found twice, nor more than there is memory for.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  memsnap::FuzzInput input(data, size);
  memsnap::Forged forged;
  for (unsigned i = 0, count = input.take<std::uint8_t>() % 64; i < count; ++i) forged.overwrite(input);
  forged.add_types(input);
  forged.add_objects(input);
  forged.look(input);
  return 0;
}
