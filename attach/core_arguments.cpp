#include "attach/core_arguments.h"

#include <elf.h>

#include <algorithm>
#include <cstddef>
#include <optional>

namespace memsnap {
namespace {

constexpr std::uint64_t kMaxVector = 4096;  // bytes of auxiliary vector and what lies between it and the random bytes
constexpr std::uint64_t kMaxPointers = 1u << 20;  // of arguments, and of the environment
constexpr std::uint64_t kMaxTypes = 128;          // of auxiliary vector entries: all are below
constexpr std::size_t kMaxText = 4096;            // of the command line

class StackTop {
 public:
  StackTop(const ProcessMemory& memory, std::uint64_t random_bytes) : memory_(memory), random_bytes_(random_bytes) {}

  // From low to high: the count, the arguments, 0, the environment, 0, the auxiliary vector.
  std::vector<std::string> arguments() const {
    std::uint64_t at = auxiliary_vector();
    if (at == 0 || word(at - 8) != 0) return {};
    at = begin_of_pointers(at - 8);
    if (at == 0 || word(at - 8) != 0) return {};
    const std::uint64_t end = at - 8;
    for (std::uint64_t count = 0; count < kMaxPointers; ++count) {
      const auto below = word(end - 8 * (count + 1));
      if (!below) return {};
      if (*below == count) return texts(end - 8 * count, count);
    }
    return {};
  }

 private:
  std::optional<std::uint64_t> word(std::uint64_t address) const { return memory_.try_read<std::uint64_t>(address); }

  // Its begin; 0 when it is not found below the random bytes that it points to.
  std::uint64_t auxiliary_vector() const {
    if (random_bytes_ < kMaxVector) return 0;
    const std::uint64_t top = random_bytes_ & ~7ull;
    for (std::uint64_t at = top - 16; at > top - kMaxVector; at -= 8) {
      if (word(at) != AT_RANDOM || word(at + 8) != random_bytes_) continue;
      const std::uint64_t lowest = at - kMaxVector;
      while (at > lowest && word(at - 16).value_or(kMaxTypes) < kMaxTypes && word(at - 16) != 0) at -= 16;
      return at;
    }
    return 0;
  }

  // The first of the pointers that end at `end`, going down to the word 0 before them.
  std::uint64_t begin_of_pointers(std::uint64_t end) const {
    for (std::uint64_t count = 0; count < kMaxPointers; ++count) {
      const auto below = word(end - 8 * (count + 1));
      if (!below) return 0;
      if (*below == 0) return end - 8 * count;
    }
    return 0;
  }

  std::vector<std::string> texts(std::uint64_t begin, std::uint64_t count) const {
    std::vector<std::string> found;
    std::size_t left = kMaxText;
    for (std::uint64_t i = 0; i < count && left > 0; ++i) {
      const auto text = memory_.try_read_c_string(word(begin + 8 * i).value_or(0), left);
      if (!text) break;
      left -= std::min(left, text->size() + 1);
      found.push_back(*text);
    }
    return found;
  }

  const ProcessMemory& memory_;
  std::uint64_t random_bytes_;
};

}  // namespace

std::vector<std::string> arguments_on_stack(const ProcessMemory& memory, std::uint64_t random_bytes) {
  return StackTop(memory, random_bytes).arguments();
}

}  // namespace memsnap
