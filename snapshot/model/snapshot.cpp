#include "snapshot/model/snapshot.h"

#include <algorithm>

namespace memsnap {

std::uint64_t MemoryTotals::part(std::string_view name) const {
  const auto found =
      std::find_if(parts.begin(), parts.end(), [name](const MemoryPart& one) { return one.name == name; });
  return found == parts.end() ? 0 : found->bytes;
}

double MemoryTotals::accounted() const {
  if (rss == 0 || parts.empty()) return 0;
  const std::uint64_t other = std::min(part(kPartOther), rss);
  return 1 - static_cast<double>(other) / static_cast<double>(rss);
}

}  // namespace memsnap
