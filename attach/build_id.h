#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>

namespace memsnap {

// The descriptor of NT_GNU_BUILD_ID among the notes of one segment or section, in hex; empty when there is none.
std::string build_id_of_notes(std::span<const std::byte> notes);

// That of an ELF file for 64-bit x86, by its program headers: empty text when it has none, empty optional when the file
// is no such ELF object.
std::optional<std::string> build_id_of_file(int file);

}  // namespace memsnap
