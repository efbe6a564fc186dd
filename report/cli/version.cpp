#include "report/cli/version.h"

#include <elf.h>
#include <fmt/format.h>
#include <link.h>

#include <cstring>

namespace memsnap {
namespace {

// The note NT_GNU_BUILD_ID of the first object listed, which is the program itself.
int find_build_id(dl_phdr_info* info, std::size_t, void* result) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const auto& header = info->dlpi_phdr[i];
    if (header.p_type != PT_NOTE) continue;
    // The dynamic linker gives addresses as numbers.
    const auto* at = reinterpret_cast<const char*>(info->dlpi_addr + header.p_vaddr);  // NOLINT
    const char* end = at + header.p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      ElfW(Nhdr) note;
      std::memcpy(&note, at, sizeof note);
      const char* name = at + sizeof note;
      const char* description = name + (std::size_t{note.n_namesz} + 3) / 4 * 4;
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0) {
        auto& text = *static_cast<std::string*>(result);
        for (std::size_t byte = 0; byte < note.n_descsz; ++byte) {
          text += fmt::format("{:02x}", static_cast<unsigned char>(description[byte]));
        }
        return 1;
      }
      at = description + (std::size_t{note.n_descsz} + 3) / 4 * 4;
    }
  }
  return 1;
}

}  // namespace

std::string version_number() { return MEMSNAP_VERSION; }

std::string own_build_id() {
  std::string id;
  ::dl_iterate_phdr(find_build_id, &id);
  return id;
}

std::string version_text() {
  const std::string id = own_build_id();
  return fmt::format("memsnap {}\nbuild {}\nCPython 3.8 to 3.15, x86-64 Linux; not free-threaded builds\n",
                     version_number(), id.empty() ? "without an id" : id);
}

}  // namespace memsnap
