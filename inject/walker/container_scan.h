#pragma once

#include <cstdint>

#include "inject/protocol/walker_abi.h"
#include "inject/walker/scan_context.h"

// Lists, tuples, dicts, sets.
namespace memsnap::walker {

template <class Scan>
void scan_array(const Scan& scan, std::uint64_t items, std::uint64_t count) {
  if (items == 0 || count > kMaxItems) return;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t item = 0;
    if (!scan.memory.read(items + 8 * i, &item)) return;  // a forged size ends where the mapping ends
    if (item != 0) scan.sink.edge(item, EdgeKind::kItem);
  }
}

template <class Scan>
void scan_pair(const Scan& scan, std::uint64_t key, std::uint64_t item) {
  if (key == 0 || item == 0) return;  // a deleted entry
  scan.sink.edge(key, EdgeKind::kKey);
  scan.sink.edge(item, EdgeKind::kValue);
}

// Where the entries of a PyDictKeysObject are; no entries when it cannot be one.
struct DictKeys {
  std::uint64_t entries = 0, count = 0, entry_size = 24, key_offset = 8;
};

template <class Scan>
DictKeys read_keys(const Scan& scan, std::uint64_t keys) {
  const HeapLayout::Dict& at = scan.layout.dict;
  DictKeys result;
  result.count = scan.word(keys + at.dk_nentries);
  if (at.keys_form == 0) {
    const std::uint64_t size = scan.word(keys + at.dk_size);
    const std::uint64_t width = size <= 0xff ? 1 : size <= 0xffff ? 2 : size <= 0xffffffff ? 4 : 8;
    if (size > kMaxItems) return {};
    result.entries = keys + at.keys_header + size * width;
  } else {
    const std::uint64_t log2 = scan.template value<std::uint8_t>(keys + at.dk_log2_index_bytes);
    if (log2 > 44) return {};
    result.entries = keys + at.keys_header + (1ull << log2);
    if (scan.template value<std::uint8_t>(keys + at.dk_kind) != 0) {
      result.entry_size = 16;
      result.key_offset = 0;
    }
  }
  if (result.count > kMaxItems) return {};
  return result;
}

template <class Scan>
void scan_dict(const Scan& scan, std::uint64_t object) {
  const HeapLayout::Dict& at = scan.layout.dict;
  const std::uint64_t keys = scan.word(object + at.ma_keys);
  const std::uint64_t values = scan.word(object + at.ma_values);
  if (keys == 0) return;
  const DictKeys table = read_keys(scan, keys);
  for (std::uint64_t i = 0; i < table.count; ++i) {
    const std::uint64_t entry = table.entries + i * table.entry_size + table.key_offset;
    std::uint64_t key = 0;
    if (!scan.memory.read(entry, &key)) return;
    scan_pair(scan, key, values == 0 ? scan.word(entry + 8) : scan.word(values + at.values_items + 8 * i));
  }
}

template <class Scan>
void scan_set(const Scan& scan, std::uint64_t object) {
  const std::uint64_t mask = scan.word(object + scan.layout.set.mask);
  const std::uint64_t table = scan.word(object + scan.layout.set.table);
  if (table == 0 || mask > kMaxItems) return;
  for (std::uint64_t i = 0; i <= mask; ++i) {
    std::uint64_t key = 0;
    if (!scan.memory.read(table + 16 * i, &key)) return;
    if (key != 0 && scan.word(table + 16 * i + 8) != ~0ull)
      scan.sink.edge(key, EdgeKind::kItem);  // hash -1: a deleted entry
  }
}

}  // namespace memsnap::walker
