#include "snapshot/cpython/py_layout.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>

#include "attach/base/error.h"
#include "snapshot/cpython/py_version.h"
#include "snapshot/cpython/size_layout.h"

namespace memsnap {
namespace {

template <std::size_t kCount>
constexpr std::array<HeapLayout, kCount> with_sizes(std::array<HeapLayout, kCount> layouts) {
  for (HeapLayout& layout : layouts) layout.sizes = sizes_for(layout.since);
  return layouts;
}

constexpr auto kLayouts = with_sizes(std::array{
#include "snapshot/cpython/layouts/3.08.inc"
#include "snapshot/cpython/layouts/3.09.inc"
#include "snapshot/cpython/layouts/3.10.inc"
#include "snapshot/cpython/layouts/3.11.inc"
#include "snapshot/cpython/layouts/3.12.inc"
#include "snapshot/cpython/layouts/3.13.inc"
#include "snapshot/cpython/layouts/3.14.inc"
#include "snapshot/cpython/layouts/3.15.inc"
});

constexpr bool oldest_first() {
  for (std::size_t i = 1; i < kLayouts.size(); ++i)
    if (kLayouts[i - 1].since >= kLayouts[i].since) return false;
  return true;
}
static_assert(oldest_first());

// Two releases of one minor version may share a table; two minor versions never do.
constexpr std::uint32_t minor_of(std::uint32_t version_hex) { return version_hex >> 16; }

}  // namespace

std::span<const HeapLayout> all_layouts() { return kLayouts; }

const HeapLayout& layout_for(std::uint32_t version_hex) {
  const auto newer = std::find_if(kLayouts.begin(), kLayouts.end(),
                                  [version_hex](const HeapLayout& layout) { return layout.since > version_hex; });
  if (newer == kLayouts.begin() || minor_of(std::prev(newer)->since) != minor_of(version_hex)) {
    const PyVersion version(version_hex);
    const bool old = version_hex < kLayouts.front().since;
    throw Error(
        ExitCode::kUnsupported, fmt::format("CPython {} is not supported", version.minor_text()),
        old ? "memsnap knows CPython 3.8 to 3.15"
            : "memsnap knows CPython 3.8 to 3.15; a newer memsnap may know this one, see docs/adding_a_python.md");
  }
  return *std::prev(newer);
}

}  // namespace memsnap
