#include "snapshot/walk/interned_dict.h"

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "inject/protocol/walker_abi.h"
#include "snapshot/cpython/object_reader.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMaxData = 16u << 20;   // of the image; CPython's own is below 2 MiB
constexpr std::size_t kFewestEntries = 500;     // CPython interns more than that before it runs a line
constexpr std::size_t kMostEntries = 1u << 26;  // in all: a forged image may be full of pointers to large dicts
constexpr std::size_t kChunk = 64u << 10;

// Writable mappings without a hole between them, around `address`: .data and .bss.
AddressRange data_around(const MemoryMap& map, std::uint64_t address) {
  AddressRange range{0, 0};
  for (const Mapping& mapping : map.mappings()) {
    if (!mapping.readable || !mapping.writable || mapping.shared) continue;
    const bool found = range.begin <= address && address < range.end;
    if (found && (mapping.begin != range.end || mapping.end - range.begin > kMaxData)) break;  // beyond: brk's heap
    if (mapping.begin != range.end) range = {mapping.begin, mapping.begin};
    range.end = mapping.end;
  }
  if (address < range.begin || address >= range.end) return {0, 0};
  // A forged image may be of any size.
  if (address - range.begin > kMaxData) range.begin = (address - kMaxData) & ~7ull;
  return {range.begin, std::min(range.end, address + kMaxData)};
}

bool holds_its_keys(const ObjectReader& reader, std::uint64_t dict, std::size_t* budget) {
  std::size_t entries = 0;
  bool same = true;
  reader.for_each_entry(
      dict,
      [&](std::uint64_t key, std::uint64_t value) {
        same = key == value && (entries >= kFewestEntries || reader.is(key, kFlagUnicode));
        entries += 1;
        return same;
      },
      *budget);
  *budget -= std::min(*budget, entries);
  return same && entries >= kFewestEntries;
}

}  // namespace

std::uint64_t find_interned(const ProcessMemory& memory, const MemoryMap& map, const PythonProcess& python) {
  const auto dict_type = python.type("PyDict_Type");
  if (!dict_type) return 0;
  const AddressRange data = data_around(map, *dict_type);
  const ObjectReader reader(memory, python.layout);
  std::vector<std::uint64_t> words(kChunk / 8);
  std::size_t budget = kMostEntries;
  for (std::uint64_t at = data.begin; at < data.end; at += kChunk) {
    const std::size_t size = std::min<std::uint64_t>(kChunk, data.end - at);
    if (!memory.copy(at, std::as_writable_bytes(std::span(words).first(size / 8)))) continue;
    for (std::size_t i = 0; i < size / 8; ++i) {
      const std::uint64_t object = words[i];
      if (object % 16 != 0 || object < 0x10000 || map.find(object) == nullptr) continue;
      if (reader.type_of(object) == dict_type && holds_its_keys(reader, object, &budget)) return object;
    }
  }
  return 0;
}

}  // namespace memsnap
