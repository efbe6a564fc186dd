#pragma once

#include <cstdint>
#include <initializer_list>
#include <vector>

#include "attach/elf_image.h"
#include "tests/unit/cpython/fake_memory.h"

namespace memsnap {

// A brk heap and the C library's data with a main arena, as glibc 2.36 has them.
class FakeMalloc {
 public:
  static constexpr std::uint64_t kHeap = 0x10000000;
  static constexpr std::uint64_t kHeapSize = 0x100000;
  static constexpr std::uint64_t kData = 0x7f0000000000;
  static constexpr std::uint64_t kDataSize = 0x4000;
  static constexpr std::uint64_t kArena = kData + 0x1000;
  static constexpr std::uint64_t kBins = kArena + 112;

  FakeMalloc() {
    memory.map(kHeap, kHeapSize);
    memory.map(kData, kDataSize);
    for (std::uint64_t i = 0; i < 127; ++i) {
      const std::uint64_t bin = kBins + 16 * i - 16;
      memory.put(kBins + 16 * i, bin);
      memory.put(kBins + 16 * i + 8, bin);
    }
    memory.put(kBins + 2048, kArena);     // next
    memory.put(kBins + 2072, kHeapSize);  // system_mem
    memory.put(kBins + 2080, kHeapSize);  // max_system_mem
    set_top(kHeap);
  }

  // Chunks from the heap's begin on, each in use; the rest is the top chunk. Gives their addresses.
  std::vector<std::uint64_t> fill(std::initializer_list<std::uint64_t> sizes) {
    std::vector<std::uint64_t> chunks;
    std::uint64_t at = kHeap;
    for (const std::uint64_t size : sizes) {
      set_size(at, size | 1);
      chunks.push_back(at);
      at += size;
    }
    set_top(at);
    return chunks;
  }
  void set_size(std::uint64_t chunk, std::uint64_t word) { memory.put(chunk + 8, word); }
  void set_top(std::uint64_t chunk) {
    memory.put(kBins - 16, chunk);
    if (chunk < kHeap + kHeapSize) set_size(chunk, (kHeap + kHeapSize - chunk) | 1);
  }
  // The chunk in front of `next` is free.
  void free_before(std::uint64_t next) { set_size(next, memory.read<std::uint64_t>(next + 8) & ~1ull); }

  static MemoryMap map() {
    return MemoryMap::parse(
        "10000000-10100000 rw-p 00000000 00:00 0                          [heap]\n"
        "20000000-20010000 rw-p 00000000 00:00 0 \n"
        "7f0000000000-7f0000004000 rw-p 00000000 fe:00 77                 /usr/lib/libc.so.6\n");
  }
  static std::vector<ElfImage::Section> data() { return {{kData, kData + kDataSize}}; }

  FakeMemory memory;
};

}  // namespace memsnap
