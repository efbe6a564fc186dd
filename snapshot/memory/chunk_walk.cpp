#include "snapshot/memory/chunk_walk.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>

namespace memsnap {
namespace {

constexpr std::uint64_t kPreviousInUse = 1;
constexpr std::uint64_t kMmapped = 2;
constexpr std::uint64_t kNotMain = 4;
constexpr std::uint64_t kFlags = 7;
constexpr std::uint64_t kSmallest = 32;
constexpr std::uint64_t kMark = 16;  // size of the chunk that is put at the end of a heap that is full

constexpr std::size_t kFirstWindow = 4096;
constexpr std::size_t kLargestWindow = 1u << 20;

// Headers, read in windows that grow while chunks are small and are small again behind a large chunk.
class HeaderReader {
 public:
  HeaderReader(const ProcessMemory& memory, std::uint64_t limit) : memory_(memory), limit_(limit) {}

  // The word that holds size and flags of the chunk at `chunk`.
  std::optional<std::uint64_t> header(std::uint64_t chunk) {
    const std::uint64_t at = chunk + 8;
    if (at < begin_ || at + 8 > begin_ + window_.size()) {
      if (!fill(at)) return std::nullopt;
    }
    std::uint64_t word = 0;
    std::memcpy(&word, window_.data() + (at - begin_), sizeof(word));
    return word;
  }

 private:
  bool fill(std::uint64_t at) {
    const bool follows = at >= begin_ && at - (begin_ + window_.size()) < wanted_;
    wanted_ = follows ? std::min(wanted_ * 4, kLargestWindow) : kFirstWindow;
    for (std::size_t size = std::min<std::uint64_t>(wanted_, limit_ - std::min(limit_, at));; size = kFirstWindow) {
      size = std::min<std::uint64_t>(size, limit_ - std::min(limit_, at));
      if (size < 8) return false;
      window_.resize(size);
      begin_ = at;
      if (memory_.copy(at, window_)) return true;
      if (size <= kFirstWindow) break;
    }
    window_.resize(8);
    if (memory_.copy(at, window_)) return true;
    window_.clear();
    return false;
  }

  const ProcessMemory& memory_;
  std::uint64_t limit_;
  std::uint64_t begin_ = 0;
  std::size_t wanted_ = kFirstWindow;
  std::vector<std::byte> window_;
};

bool is_tcache_size(std::uint64_t size) {
  return size == kTcacheBytes || size == kTcacheHalfWords || size == kTcacheSlots;
}

}  // namespace

ChunkWalk walk_chunks(const ProcessMemory& memory, std::uint64_t first, std::uint64_t limit, std::uint64_t top,
                      bool main_arena) {
  ChunkWalk walk;
  walk.chunks = ChunkIndex(first);
  HeaderReader reader(memory, limit);
  std::uint64_t previous = 0;  // the chunk before `at`
  for (std::uint64_t at = first; at < limit;) {
    const auto header = reader.header(at);
    if (!header) break;
    const std::uint64_t size = *header & ~kFlags;
    const bool is_top = at == top;
    if (size % 16 != 0 || size > limit - at || (*header & kMmapped) != 0) break;
    if (previous != 0 && (*header & kPreviousInUse) == 0) walk.chunks.set_free(previous);
    if (size == kMark && !is_top) {
      walk.complete = top < first || top >= limit;
      break;
    }
    if (size == 0 || (size < kSmallest && !is_top)) break;
    // Chunks of other arenas carry this mark only while they are in use.
    if (main_arena && (*header & kNotMain) != 0) break;
    walk.chunks.add(at, size);
    if (is_top) {
      walk.chunks.set_free(at);
      walk.complete = true;
      break;
    }
    if (is_tcache_size(size)) walk.tcache_sized.push_back(at);
    previous = at;
    at += size;
  }
  return walk;
}

}  // namespace memsnap
