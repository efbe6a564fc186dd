#include "inject/control/loaded_library.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <unordered_map>

namespace memsnap {
namespace {

constexpr std::size_t kMostDynamic = 4096;
constexpr std::size_t kMostLibraries = 1u << 14;
constexpr std::uint64_t kMostRelocations = 4u << 20;
constexpr std::size_t kBatch = 2048;      // relocations read at once
constexpr std::size_t kLongestName = 40;  // of a hooked function, with its end

struct LinkMap {  // link.h, the part that is a contract with debuggers
  std::uint64_t bias, name, dynamic, next, previous;
};

void each_library(std::uint64_t loader_record, const ProcessMemory& memory,
                  const std::function<void(const LinkMap&)>& visit) {
  struct Debug {  // r_debug
    std::int32_t version, padding;
    std::uint64_t map;
  };
  const auto debug = memory.try_read<Debug>(loader_record);
  std::uint64_t at = debug ? debug->map : 0;
  for (std::size_t i = 0; at != 0 && i < kMostLibraries; ++i) {
    const auto link = memory.try_read<LinkMap>(at);
    if (!link) return;
    visit(*link);
    at = link->next;
  }
}

struct Dynamic {
  std::uint64_t symbols = 0, strings = 0, string_size = 0, debug = 0;
  std::uint64_t relocations = 0, relocation_size = 0, calls = 0, call_size = 0;
};

Dynamic read_dynamic(const ElfImage& image, const ProcessMemory& memory) {
  Dynamic dynamic;
  const auto absolute = [&](std::uint64_t pointer) {
    return pointer < image.load_bias() ? pointer + image.load_bias() : pointer;
  };
  for (std::size_t i = 0; i < kMostDynamic; ++i) {
    const auto entry = memory.try_read<Elf64_Dyn>(image.dynamic_section() + i * sizeof(Elf64_Dyn));
    if (!entry || entry->d_tag == DT_NULL) break;
    const std::uint64_t value = entry->d_un.d_val;
    switch (entry->d_tag) {
      case DT_SYMTAB:
        dynamic.symbols = absolute(value);
        break;
      case DT_STRTAB:
        dynamic.strings = absolute(value);
        break;
      case DT_STRSZ:
        dynamic.string_size = value;
        break;
      case DT_RELA:
        dynamic.relocations = absolute(value);
        break;
      case DT_RELASZ:
        dynamic.relocation_size = value;
        break;
      case DT_JMPREL:
        dynamic.calls = absolute(value);
        break;
      case DT_PLTRELSZ:
        dynamic.call_size = value;
        break;
      case DT_DEBUG:
        dynamic.debug = value;
        break;
      default:
        break;
    }
  }
  return dynamic;
}

// Names of symbols that words refer to; most are referred to more than once.
class Names {
 public:
  Names(const ProcessMemory& memory, const Dynamic& dynamic) : memory_(memory), dynamic_(dynamic) {}

  // Empty for what is longer than any name that is looked for.
  std::string_view of(std::uint32_t index) {
    const auto [known, is_new] = names_.try_emplace(index);
    Name& name = known->second;
    if (!is_new) return {name.text.data(), name.size};
    const auto symbol = memory_.try_read<Elf64_Sym>(dynamic_.symbols + index * std::uint64_t{sizeof(Elf64_Sym)});
    if (!symbol || symbol->st_name == 0 || symbol->st_name >= dynamic_.string_size) return {};
    const std::size_t room = std::min<std::uint64_t>(kLongestName, dynamic_.string_size - symbol->st_name);
    const auto bytes = std::as_writable_bytes(std::span(name.text)).first(room);
    if (!memory_.copy(dynamic_.strings + symbol->st_name, bytes)) return {};
    const std::size_t length = ::strnlen(name.text.data(), room);
    name.size = length == room ? 0 : length;
    return {name.text.data(), name.size};
  }

 private:
  struct Name {
    std::array<char, kLongestName> text{};
    std::size_t size = 0;
  };
  const ProcessMemory& memory_;
  const Dynamic& dynamic_;
  std::unordered_map<std::uint32_t, Name> names_;
};

bool is_writable(const ElfImage& image, std::uint64_t address) {
  const auto& segments = image.writable_segments();
  return address % 8 == 0 && std::any_of(segments.begin(), segments.end(), [&](const ElfImage::Section& segment) {
           return address >= segment.begin && address + 8 <= segment.end;
         });
}

}  // namespace

std::uint64_t loader_record(const std::vector<std::unique_ptr<ElfImage>>& images, const ProcessMemory& memory) {
  return images.empty() ? 0 : read_dynamic(*images.front(), memory).debug;
}

std::uint64_t libraries_loaded(std::uint64_t loader_record, const ProcessMemory& memory) {
  std::uint64_t mixed = 0;
  each_library(loader_record, memory, [&](const LinkMap& link) {
    for (const std::uint64_t word : {link.bias, link.dynamic}) mixed = (mixed ^ word) * 0x100000001b3;
  });
  return mixed;
}

std::vector<const ElfImage*> in_load_order(const std::vector<std::unique_ptr<ElfImage>>& images,
                                           const ProcessMemory& memory) {
  std::vector<const ElfImage*> ordered;
  std::unordered_map<std::uint64_t, const ElfImage*> by_dynamic;
  for (const auto& image : images) {
    if (image->is_64_bit_x86() && image->dynamic_section() != 0)
      by_dynamic.emplace(image->dynamic_section(), image.get());
  }
  each_library(loader_record(images, memory), memory, [&](const LinkMap& link) {
    const auto found = by_dynamic.find(link.dynamic);
    if (found == by_dynamic.end()) return;
    ordered.push_back(found->second);
    by_dynamic.erase(found);  // a list that leads in a circle brings nothing twice
  });
  return ordered;
}

void each_imported_word(const ElfImage& image, const ProcessMemory& memory,
                        const std::function<void(const SymbolWord&)>& word) {
  const Dynamic dynamic = read_dynamic(image, memory);
  Names names(memory, dynamic);
  std::vector<Elf64_Rela> batch;
  const auto read_table = [&](std::uint64_t begin, std::uint64_t size) {
    const std::uint64_t count = std::min(size / sizeof(Elf64_Rela), kMostRelocations);
    for (std::uint64_t done = 0; begin != 0 && done < count; done += batch.size()) {
      batch.resize(std::min<std::uint64_t>(kBatch, count - done));
      if (!memory.copy(begin + done * sizeof(Elf64_Rela), std::as_writable_bytes(std::span(batch)))) return;
      for (const Elf64_Rela& entry : batch) {
        const std::uint64_t type = ELF64_R_TYPE(entry.r_info);
        const std::uint64_t symbol = ELF64_R_SYM(entry.r_info);
        const bool is_call = type == R_X86_64_JUMP_SLOT;
        if (symbol == 0 || (!is_call && type != R_X86_64_GLOB_DAT && (type != R_X86_64_64 || entry.r_addend != 0)))
          continue;
        const std::uint64_t address = image.load_bias() + entry.r_offset;
        if (!is_writable(image, address)) continue;
        const std::string_view name = names.of(static_cast<std::uint32_t>(symbol));
        if (!name.empty()) word({address, is_call, name});
      }
    }
  };
  read_table(dynamic.calls, dynamic.call_size);
  read_table(dynamic.relocations, dynamic.relocation_size);
}

}  // namespace memsnap
