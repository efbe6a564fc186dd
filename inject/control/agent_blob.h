#pragma once

#include <cstddef>
#include <span>

namespace memsnap {

// The file that the build of inject/agent made; empty in a build without it.
std::span<const std::byte> agent_blob();

}  // namespace memsnap
