#include "snapshot/cpython/allocator_structs.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

namespace memsnap {
namespace {

constexpr std::size_t kStructWords = 5;  // ctx, malloc, calloc, realloc, free
constexpr std::size_t kDebugWords = 6;   // debug_alloc_api_t: a letter, and such a struct
constexpr std::size_t kMostWords = 8u << 20;
using Words = std::span<const std::uint64_t>;
using Functions = std::array<std::uint64_t, 4>;

struct Segment {
  std::uint64_t begin = 0;
  std::vector<std::uint64_t> words;
};

// What of the image is writable now: tables that relocation alone writes are not.
std::vector<Segment> writable_data(const ProcessMemory& memory, const MemoryMap& map, const ElfImage& image) {
  std::vector<Segment> found;
  for (const ElfImage::Section& part : image.writable_segments()) {
    for (const Mapping& mapping : map.mappings()) {
      const std::uint64_t begin = std::max(mapping.begin, (part.begin + 7) & ~std::uint64_t{7});
      const std::uint64_t end = std::min(mapping.end, part.end & ~std::uint64_t{7});
      if (!mapping.writable || !mapping.readable || begin >= end || (end - begin) / 8 > kMostWords) continue;
      Segment segment{begin, std::vector<std::uint64_t>((end - begin) / 8)};
      if (memory.copy(begin, std::as_writable_bytes(std::span(segment.words)))) found.push_back(std::move(segment));
    }
  }
  return found;
}

class StructSearch {
 public:
  StructSearch(const MemoryMap& map, const ElfImage& image) : map_(map), range_(image.range()) {}

  // The debug hooks' own copies name their domains by a letter, which nothing else does.
  std::optional<Functions> functions_in(Words words) const {
    for (std::size_t at = 0; at + 2 * kDebugWords <= words.size(); ++at) {
      const Words mem = words.subspan(at, kDebugWords);
      const Words obj = words.subspan(at + kDebugWords, kDebugWords);
      if ((mem[0] & 0xff) != 'm' || (obj[0] & 0xff) != 'o' || mem[1] != 0) continue;
      if (!std::equal(mem.begin() + 1, mem.end(), obj.begin() + 1)) continue;
      Functions functions{};
      std::copy(mem.begin() + 2, mem.end(), functions.begin());
      if (std::all_of(functions.begin(), functions.end(), [this](std::uint64_t each) { return is_code(each); })) {
        return functions;
      }
    }
    return std::nullopt;
  }

  static void add_places(const Segment& segment, const Functions& functions, std::vector<std::uint64_t>& places) {
    const Words words = segment.words;
    for (std::size_t at = 0; at + kStructWords <= words.size(); ++at) {
      const bool is_debug = at != 0 && ((words[at - 1] & 0xff) == 'm' || (words[at - 1] & 0xff) == 'o');
      if (words[at] != 0 || is_debug) continue;
      if (std::equal(functions.begin(), functions.end(), words.begin() + static_cast<std::ptrdiff_t>(at) + 1)) {
        places.push_back(segment.begin + at * 8);
      }
    }
  }

 private:
  bool is_code(std::uint64_t address) const {
    if (address < range_.begin || address >= range_.end) return false;
    const Mapping* const mapping = map_.find(address);
    return mapping != nullptr && mapping->executable;
  }

  const MemoryMap& map_;
  ElfImage::Section range_;
};

}  // namespace

std::optional<AllocatorStructs> find_allocator_structs(const ProcessMemory& memory, const MemoryMap& map,
                                                       const std::vector<std::unique_ptr<ElfImage>>& images,
                                                       const PythonProcess& python) {
  const auto image = std::find_if(images.begin(), images.end(), [&](const auto& each) {
    return python.runtime >= each->range().begin && python.runtime < each->range().end;
  });
  if (image == images.end()) return std::nullopt;
  const std::vector<Segment> data = writable_data(memory, map, **image);
  const StructSearch search(map, **image);
  std::optional<Functions> functions;
  for (const Segment& segment : data) {
    if (!functions) functions = search.functions_in(segment.words);
  }
  if (!functions) return std::nullopt;
  std::vector<std::uint64_t> places;
  for (const Segment& segment : data) StructSearch::add_places(segment, *functions, places);
  // Side by side, with or without padding: tracemalloc keeps copies of those it replaced, with another between them.
  if (places.size() != 2 || places[1] - places[0] > 64) return std::nullopt;
  return AllocatorStructs{places[0], places[1]};
}

}  // namespace memsnap
