#include "snapshot/memory/thread_stacks.h"

#include <algorithm>
#include <array>
#include <optional>

namespace memsnap {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kDescriptorWords = 2304 / 8;  // of struct pthread, as far as it matters
constexpr std::uint64_t kTopSearched = 8192;        // how far below the end of its stack a descriptor may be
constexpr std::uint64_t kLargestTop = 64u << 10;
constexpr std::size_t kMaxStacks = 1u << 20;
constexpr std::size_t kFirstChunk = 16384;  // DATA_STACK_CHUNK_SIZE
constexpr std::size_t kMaxState = 4096;

// The stack whose descriptor is at `thread`: `stackblock`, `stackblock_size` and `guardsize` are three words in a row.
std::optional<Run> stack_of(const ProcessMemory& memory, std::uint64_t thread) {
  std::array<std::uint64_t, kDescriptorWords> words{};
  if (!memory.copy(thread, std::as_writable_bytes(std::span(words)))) {
    const std::size_t to_page = (kPage - thread % kPage) / 8;
    if (to_page < 64 ||
        !memory.copy(thread, std::as_writable_bytes(std::span(words).first(std::min(to_page, words.size()))))) {
      return std::nullopt;
    }
  }
  if (words[0] != thread || words[2] != thread) return std::nullopt;
  for (std::size_t i = 64; i + 2 < words.size(); ++i) {
    const std::uint64_t begin = words.at(i);
    const std::uint64_t size = words.at(i + 1);
    const std::uint64_t guard = words.at(i + 2);
    if (begin == 0 || begin % kPage != 0 || size == 0 || size % kPage != 0 || begin >= thread) continue;
    if (size <= thread - begin || size - (thread - begin) > kLargestTop) continue;
    if (guard % kPage == 0 && guard < size) return Run{begin, begin + size};
  }
  return std::nullopt;
}

// Descriptors at the end of a gap, and below each stack found there.
void search_top(const ProcessMemory& memory, Run gap, std::vector<Run>& stacks) {
  std::vector<std::uint64_t> words;
  while (gap.end - gap.begin >= kPage && stacks.size() < kMaxStacks) {
    const std::uint64_t from = gap.end - std::min(kTopSearched, gap.end - gap.begin);
    words.resize((gap.end - from) / 8);
    if (!memory.copy(from, std::as_writable_bytes(std::span(words)))) return;
    std::optional<Run> found;
    for (std::size_t i = words.size(); i >= 3 && !found; --i) {
      const std::uint64_t at = from + 8 * (i - 3);
      if (words[i - 3] == at && words[i - 1] == at) found = stack_of(memory, at);
    }
    if (!found) return;
    stacks.push_back({std::max(found->begin, gap.begin), std::min(found->end, gap.end)});
    if (found->begin <= gap.begin) return;
    gap.end = found->begin;
  }
}

}  // namespace

std::vector<Run> find_thread_stacks(const ProcessMemory& memory, std::span<const Run> gaps,
                                    std::span<const std::uint64_t> thread_ids) {
  std::vector<Run> stacks;
  for (const std::uint64_t thread : thread_ids) {
    const Run* const gap = range_at(gaps, thread);
    const auto stack = gap == nullptr ? std::nullopt : stack_of(memory, thread);
    if (stack) stacks.push_back({std::max(stack->begin, gap->begin), std::min(stack->end, gap->end)});
  }
  stacks = merged(std::move(stacks));
  std::vector<Run> more;
  for (const Run& gap : subtract(gaps, stacks)) search_top(memory, gap, more);
  stacks.insert(stacks.end(), more.begin(), more.end());
  return merged(std::move(stacks));
}

std::vector<Run> find_frame_stacks(const ProcessMemory& memory, std::span<const Run> gaps,
                                   std::span<const std::uint64_t> thread_states, std::size_t state_size) {
  // struct _PyStackChunk: previous, size, top.
  const auto chunk_at = [&](std::uint64_t address) -> std::optional<std::array<std::uint64_t, 3>> {
    const Run* const gap = address % kPage == 0 ? range_at(gaps, address) : nullptr;
    if (gap == nullptr) return std::nullopt;
    const auto head = memory.try_read<std::array<std::uint64_t, 3>>(address);
    if (!head) return std::nullopt;
    const auto [previous, size, top] = *head;
    const bool fits = size >= kFirstChunk && size % kPage == 0 && size <= gap->end - address;
    return fits && top <= size && previous % kPage == 0 ? head : std::nullopt;
  };
  std::vector<Run> chunks;
  for (const std::uint64_t state : thread_states) {
    std::vector<std::uint64_t> words(std::min(state_size, kMaxState) / 8);
    if (!memory.copy(state, std::as_writable_bytes(std::span(words)))) continue;
    for (std::uint64_t at : words) {
      for (std::size_t steps = 0; at != 0 && steps < kMaxStacks; ++steps) {
        const auto head = chunk_at(at);
        if (!head) break;
        chunks.push_back({at, at + (*head)[1]});
        at = (*head)[0];
      }
    }
  }
  return merged(std::move(chunks));
}

}  // namespace memsnap
