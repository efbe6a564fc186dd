#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attach/process_memory.h"

namespace memsnap {

inline constexpr std::uint64_t kPageSize = 4096;
constexpr std::uint64_t whole_pages(std::uint64_t size) { return (size + kPageSize - 1) & ~(kPageSize - 1); }

// The agent as it will lie in a target: a shared object that needs no loader, because all its relocations are relative
// and it refers to nothing outside itself.
class AgentImage {
 public:
  // Of the file that the build made, or of another. Throws Error kInternal when it is none that can be used.
  static AgentImage parse(std::span<const std::byte> file);
  // Of one that is mapped in a target, perhaps by another memsnap: hostile input. Empty when there is none.
  static std::optional<AgentImage> read(const ProcessMemory& memory, std::uint64_t begin);

  // Whole pages. First what is read and executed, from writable_begin() on what is written.
  std::uint64_t size() const { return bytes_.size(); }
  std::uint64_t writable_begin() const { return writable_begin_; }

  // Offset of a symbol that it exports.
  std::optional<std::uint64_t> symbol(std::string_view name) const;
  // Offsets of all functions that it exports: what a target may hold as a pointer.
  const std::vector<std::uint64_t>& entries() const { return entries_; }
  // The function that begins there; empty when none does.
  std::string_view name_of(std::uint64_t offset) const;
  // Whether a call instruction ends at that offset.
  bool is_return_address(std::uint64_t offset) const;

  // Its bytes for this address, page aligned. As read from a target they are what they are there.
  std::vector<std::byte> relocated(std::uint64_t address) const;

 private:
  struct Relocation {
    std::uint64_t offset;
    std::uint64_t addend;
  };
  AgentImage() = default;
  bool lay_out(std::span<const std::byte> file);
  bool read_dynamic();
  bool read_relocations(std::uint64_t offset, std::uint64_t size);
  bool read_symbols(std::uint64_t symbols, std::uint64_t strings, std::uint64_t string_size, std::uint64_t count);
  std::uint64_t count_symbols(std::uint64_t gnu_table) const;
  template <class T>
  std::optional<T> at(std::uint64_t offset) const;

  std::vector<std::byte> bytes_;
  std::uint64_t writable_begin_ = 0;
  std::uint64_t dynamic_ = 0;
  std::uint64_t dynamic_size_ = 0;
  std::vector<Relocation> relocations_;
  std::map<std::string, std::uint64_t, std::less<>> symbols_;
  std::vector<std::uint64_t> entries_;
};

}  // namespace memsnap
