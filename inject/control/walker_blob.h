#pragma once

#include <cstddef>
#include <span>

namespace memsnap {

// The code of inject/walker, position independent; its entry is the first byte.
std::span<const std::byte> walker_blob();

}  // namespace memsnap
