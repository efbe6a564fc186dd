#include "snapshot/cpython/initialized_word.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <initializer_list>

namespace memsnap {
namespace {

constexpr std::uint64_t kLargestRuntime = 4u << 20;

// The bytes of a function, read in the order in which they run.
class Code {
 public:
  Code(const ProcessMemory& memory, std::uint64_t address) : address_(address) {
    valid_ = memory.copy(address, bytes_);
  }

  bool skip(std::initializer_list<unsigned> wanted) {
    if (!valid_ || at_ + wanted.size() > bytes_.size()) return false;
    std::size_t at = at_;
    for (const unsigned byte : wanted) {
      if (std::to_integer<unsigned>(bytes_.at(at++)) != byte) return false;
    }
    at_ = at;
    return true;
  }
  template <class T>
  std::int64_t number() {
    T value{};
    if (at_ + sizeof(T) <= bytes_.size()) std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ = std::min(at_ + sizeof(T), bytes_.size());
    return value;
  }
  std::uint64_t after(std::int64_t distance) const { return address_ + at_ + static_cast<std::uint64_t>(distance); }

 private:
  std::uint64_t address_;
  std::array<std::byte, 32> bytes_{};
  std::size_t at_ = 0;
  bool valid_ = false;
};

}  // namespace

// The forms that compilers give `return variable;` and `return structure.member;`, Intel SDM volume 2, MOV and LEA.
std::optional<std::uint64_t> variable_returned(const ProcessMemory& memory, std::uint64_t function) {
  Code code(memory, function);
  code.skip({0xf3, 0x0f, 0x1e, 0xfa});  // endbr64
  std::optional<std::uint64_t> address;
  if (code.skip({0x8b, 0x05})) {  // mov variable(%rip), %eax
    const std::int64_t distance = code.number<std::int32_t>();
    address = code.after(distance);
  } else if (code.skip({0x8b, 0x04, 0x25})) {  // mov variable, %eax
    address = static_cast<std::uint64_t>(code.number<std::int32_t>());
  } else {
    const bool through_table = code.skip({0x48, 0x8b, 0x05});         // mov slot(%rip), %rax
    if (!through_table && !code.skip({0x48, 0x8d, 0x05})) return {};  // lea variable(%rip), %rax
    const std::int64_t distance = code.number<std::int32_t>();
    const std::uint64_t base = code.after(distance);
    address = through_table ? memory.try_read<std::uint64_t>(base) : base;
    if (!address) return {};
    if (code.skip({0x8b, 0x40})) {  // mov byte(%rax), %eax
      *address += static_cast<std::uint64_t>(code.number<std::int8_t>());
    } else if (code.skip({0x8b, 0x80})) {  // mov word(%rax), %eax
      *address += static_cast<std::uint64_t>(code.number<std::int32_t>());
    } else if (!code.skip({0x8b, 0x00})) {  // mov (%rax), %eax
      return {};
    }
  }
  return code.skip({0xc3}) ? address : std::nullopt;
}

std::optional<UninitializedPython> find_uninitialized_python(const std::vector<std::unique_ptr<ElfImage>>& images,
                                                             const ProcessMemory& memory) {
  for (const auto& image : images) {
    const auto runtime = image->symbol("_PyRuntime");
    const auto function = image->symbol("Py_IsInitialized");
    if (!runtime || !function || !image->is_64_bit_x86()) continue;
    UninitializedPython python{.runtime = *runtime};
    const auto word = variable_returned(memory, *function);
    if (word && *word % 4 == 0 && *word >= *runtime && *word - *runtime < kLargestRuntime) python.initialized = *word;
    return python;
  }
  return std::nullopt;
}

}  // namespace memsnap
