#include "snapshot/cpython/attributes.h"

#include <algorithm>

namespace memsnap {
namespace {

constexpr std::uint64_t kFlagManagedDict = 1u << 4;  // 3.11+
constexpr std::uint64_t kMaxKeys = 256;              // of an instance without a dict of its own
constexpr std::size_t kMaxThreads = 1u << 16;

std::uint64_t word(const ObjectReader& reader, std::uint64_t address) {
  return reader.memory().try_read<std::uint64_t>(address).value_or(0);
}

// Where the attributes of an instance are; 0: not there.
struct Place {
  std::uint64_t dict = 0;
  std::uint64_t values = 0;
};

Place place_of(const ObjectReader& reader, std::uint64_t object, std::uint64_t type) {
  const HeapLayout& layout = reader.layout();
  const std::uint8_t form = layout.instance.form;
  if (form == 0 || (reader.type_flags(type) & kFlagManagedDict) == 0) {
    const std::uint64_t offset = word(reader, type + layout.type.tp_dictoffset);
    return {.dict = offset == 0 ? 0 : word(reader, object + offset)};
  }
  const std::uint64_t slot = word(reader, object - 24);
  if (form == 11) return {.dict = slot, .values = word(reader, object - 32)};
  if (form == 12) return (slot & 1) != 0 ? Place{.values = slot + 1} : Place{.dict = slot};
  const std::uint64_t values = object + word(reader, type + layout.type.tp_basicsize);
  const auto valid = reader.memory().try_read<std::uint8_t>(values + layout.dict.values_valid);
  return {.dict = slot, .values = valid.value_or(0) != 0 ? values : 0};
}

}  // namespace

std::optional<std::uint64_t> find_attribute(const ObjectReader& reader, std::uint64_t object, std::string_view name) {
  const HeapLayout& layout = reader.layout();
  const auto type = reader.type_of(object);
  if (!type) return std::nullopt;
  const Place place = place_of(reader, object, *type);
  if (place.dict != 0) {
    if (const auto found = reader.find(place.dict, name)) return found;
  }
  const std::uint64_t keys = word(reader, *type + layout.type.ht_cached_keys);
  if (place.values == 0 || keys == 0 || layout.dict.keys_form == 0) return std::nullopt;
  const std::uint64_t index_bytes = 1ull << (word(reader, keys + layout.dict.dk_log2_index_bytes) & 0x1f);
  const std::uint64_t count = std::min(word(reader, keys + layout.dict.dk_nentries), kMaxKeys);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t key = word(reader, keys + layout.dict.keys_header + index_bytes + 16 * i);
    if (!reader.text_equals(key, name)) continue;
    const std::uint64_t value = word(reader, place.values + layout.dict.values_items + 8 * i);
    return value == 0 ? std::nullopt : std::optional(value);
  }
  return std::nullopt;
}

std::optional<std::uint64_t> find_in_module(const ObjectReader& reader, const InterpreterState& interpreter,
                                            std::string_view module, std::string_view name) {
  const auto found = reader.find(interpreter.modules, module);
  const std::uint64_t dict = found ? word(reader, *found + reader.layout().module.md_dict) : 0;
  return dict == 0 ? std::nullopt : reader.find(dict, name);
}

std::map<std::uint64_t, std::uint64_t> active_threads(const ObjectReader& reader, const InterpreterState& interpreter) {
  std::map<std::uint64_t, std::uint64_t> threads;
  const auto active = find_in_module(reader, interpreter, "threading", "_active");
  if (!active || !reader.is(*active, kFlagDict)) return threads;
  reader.for_each_entry(
      *active,
      [&](std::uint64_t key, std::uint64_t thread) {
        if (const auto id = reader.integer(key)) threads[static_cast<std::uint64_t>(*id)] = thread;
        return true;
      },
      kMaxThreads);
  return threads;
}

}  // namespace memsnap
