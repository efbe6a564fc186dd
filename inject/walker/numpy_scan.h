#pragma once

#include <cstdint>

#include "inject/protocol/walker_abi.h"
#include "inject/walker/scan_context.h"

namespace memsnap::walker {

// numpy.ndarray: data 16, nd 24, dimensions 32, strides 40, base 48, descr 56, the same in numpy 1 and 2.
template <class Scan>
void scan_numpy_array(const Scan& scan, std::uint64_t object) {
  const std::uint64_t descr = scan.word(object + 56);
  scan.field(scan.word(object + 48), FieldName::kArrayBase);
  scan.field(descr, FieldName::kArrayType);
  constexpr std::uint64_t kObjectDtype = 17;  // NPY_OBJECT, PyArray_Descr.type_num
  const std::uint64_t axes = scan.template value<std::int32_t>(object + 24);
  if (descr == 0 || scan.template value<std::int32_t>(descr + 28) != kObjectDtype || axes > 32) return;
  std::uint64_t total = 1;
  std::uint64_t span = 0;                                        // bytes from the first item to the last
  std::uint64_t index[32] = {}, size[32] = {}, stride[32] = {};  // NOLINT(modernize-avoid-c-arrays): no library
  for (std::uint64_t i = 0; i < axes; ++i) {
    size[i] = scan.word(scan.word(object + 32) + 8 * i);
    stride[i] = scan.word(scan.word(object + 40) + 8 * i);
    if (size[i] == 0 || size[i] > kMaxItems || total > kMaxItems / size[i]) return;
    total *= size[i];
    const std::uint64_t step = stride[i] >> 63 != 0 ? 0 - stride[i] : stride[i];
    if (size[i] > 1 && step > kMaxItems / (size[i] - 1)) return;
    span += step * (size[i] - 1);
  }
  // A view that shows items more than once (broadcast, sliding windows) may have any number: its base holds them.
  if (total > span / 8 + 1) return;
  std::uint64_t at = scan.word(object + 16);
  for (std::uint64_t done = 0; done < total; ++done) {
    std::uint64_t item = 0;
    if (!scan.memory.read(at, &item)) return;
    if (item != 0) scan.sink.edge(item, EdgeKind::kItem);
    for (std::uint64_t i = axes; i-- > 0;) {
      at += stride[i];
      if (++index[i] < size[i]) break;
      at -= stride[i] * size[i];
      index[i] = 0;
    }
  }
}

}  // namespace memsnap::walker
