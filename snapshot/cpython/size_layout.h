#pragma once

#include <cstdint>

#include "inject/protocol/heap_layout.h"

namespace memsnap {

// How sizes are counted by the release with this PY_VERSION_HEX. Offsets that differ between patch releases are not
// here: object_size tells those apart by the type's basicsize.
constexpr HeapLayout::Sizes sizes_for(std::uint32_t version_hex) {
  const auto at_least = [version_hex](std::uint32_t minor) { return version_hex >> 16 >= (0x300 | minor); };
  HeapLayout::Sizes sizes{};
  sizes.refcnt_bytes = at_least(12) ? 4 : 8;
  sizes.zero_has_a_digit = at_least(11) ? 1 : 0;
  sizes.static_types_have_gc = at_least(11) && !at_least(13) ? 1 : 0;
  sizes.code_opcache_size = at_least(11) ? 0 : 172;
  sizes.bytearray_header = at_least(15) ? 33 : 0;
  sizes.queue_capacity = at_least(15) ? 48 : 0;
  sizes.stg_length = at_least(13) ? 24 : 16;
  sizes.stg_elements = at_least(13) ? 48 : 40;
  sizes.stg_format = at_least(14) ? 144 : at_least(13) ? 136 : 120;
  sizes.stg_ndim = at_least(14) ? 152 : at_least(13) ? 144 : 128;
  return sizes;
}

}  // namespace memsnap
