#include "attach/build_id.h"

#include <elf.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace memsnap {
namespace {

constexpr std::size_t kMaxProgramHeaders = 256;
constexpr std::size_t kMaxNotes = 1u << 16;

std::string hex(const std::byte* bytes, std::size_t size) {
  std::string text;
  for (std::size_t i = 0; i < size; ++i) text += fmt::format("{:02x}", static_cast<unsigned>(bytes[i]));
  return text;
}

bool read_at(int file, std::uint64_t offset, std::span<std::byte> out) {
  return offset >> 62 == 0 &&
         ::pread(file, out.data(), out.size(), static_cast<off_t>(offset)) == static_cast<ssize_t>(out.size());
}

}  // namespace

std::string build_id_of_notes(std::span<const std::byte> notes) {
  while (notes.size() >= sizeof(Elf64_Nhdr)) {
    Elf64_Nhdr header{};
    std::memcpy(&header, notes.data(), sizeof(header));
    const std::size_t name = (static_cast<std::size_t>(header.n_namesz) + 3) & ~std::size_t{3};
    const std::size_t descriptor = (static_cast<std::size_t>(header.n_descsz) + 3) & ~std::size_t{3};
    const std::size_t total = sizeof(header) + name + descriptor;
    if (total > notes.size()) return "";
    if (header.n_type == NT_GNU_BUILD_ID && header.n_namesz == 4 &&
        std::memcmp(notes.data() + sizeof(header), "GNU", 4) == 0) {
      return hex(notes.data() + sizeof(header) + name, header.n_descsz);
    }
    notes = notes.subspan(total);
  }
  return "";
}

std::optional<std::string> build_id_of_file(int file) {
  Elf64_Ehdr header{};
  if (!read_at(file, 0, std::as_writable_bytes(std::span(&header, 1)))) return std::nullopt;
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_machine != EM_X86_64 || header.e_phentsize != sizeof(Elf64_Phdr) ||
      header.e_phnum > kMaxProgramHeaders) {
    return std::nullopt;
  }
  std::vector<Elf64_Phdr> programs(header.e_phnum);
  if (!read_at(file, header.e_phoff, std::as_writable_bytes(std::span(programs)))) return std::nullopt;
  for (const Elf64_Phdr& program : programs) {
    if (program.p_type != PT_NOTE) continue;
    std::vector<std::byte> notes(std::min<std::size_t>(program.p_filesz, kMaxNotes));
    if (!read_at(file, program.p_offset, notes)) continue;
    std::string id = build_id_of_notes(notes);
    if (!id.empty()) return id;
  }
  return "";
}

}  // namespace memsnap
