#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "attach/elf_image.h"
#include "attach/process_memory.h"

namespace memsnap {

// What the loader of the target has in its link map, in the order in which it looks for symbols. Hostile input.
std::vector<const ElfImage*> in_load_order(const std::vector<std::unique_ptr<ElfImage>>& images,
                                           const ProcessMemory& memory);

// Where the loader keeps its link map for debuggers; 0: not found.
std::uint64_t loader_record(const std::vector<std::unique_ptr<ElfImage>>& images, const ProcessMemory& memory);
// A number that is another when other libraries are loaded; quick.
std::uint64_t libraries_loaded(std::uint64_t loader_record, const ProcessMemory& memory);

// A word that the loader fills with the address of a symbol.
struct SymbolWord {
  std::uint64_t address = 0;
  bool is_call = false;  // JUMP_SLOT: perhaps bound at the first call only
  std::string_view name;
};
// All words of a library that it imports functions by; those outside its writable segments are left out.
void each_imported_word(const ElfImage& image, const ProcessMemory& memory,
                        const std::function<void(const SymbolWord&)>& word);

}  // namespace memsnap
