#include "inject/control/agent_image.h"

#include <elf.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "attach/base/error.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMostBytes = 16u << 20;
constexpr std::size_t kMostPrograms = 64;
constexpr std::size_t kMostDynamic = 256;
constexpr std::uint64_t kMostSymbols = 1u << 14;
constexpr std::uint64_t kMostName = 256;

bool is_ours(const Elf64_Ehdr& header) {
  return std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_ident[EI_CLASS] == ELFCLASS64 &&
         header.e_machine == EM_X86_64 && header.e_type == ET_DYN && header.e_phentsize == sizeof(Elf64_Phdr) &&
         header.e_phnum <= kMostPrograms;
}

bool inside(std::uint64_t offset, std::uint64_t size, std::uint64_t whole) {
  return offset <= whole && size <= whole - offset;
}

}  // namespace

template <class T>
std::optional<T> AgentImage::at(std::uint64_t offset) const {
  if (!inside(offset, sizeof(T), bytes_.size())) return std::nullopt;
  T value;
  std::memcpy(&value, bytes_.data() + offset, sizeof(T));
  return value;
}

AgentImage AgentImage::parse(std::span<const std::byte> file) {
  AgentImage image;
  if (image.lay_out(file) && image.read_dynamic()) return image;
  throw Error(ExitCode::kInternal, "the tracking agent is not built as it must be", "please report this");
}

std::optional<AgentImage> AgentImage::read(const ProcessMemory& memory, std::uint64_t begin) {
  const auto header = memory.try_read<Elf64_Ehdr>(begin);
  if (!header || !is_ours(*header) || header->e_phoff > kPageSize) return std::nullopt;
  std::vector<Elf64_Phdr> programs(header->e_phnum);
  if (!memory.copy(begin + header->e_phoff, std::as_writable_bytes(std::span(programs)))) return std::nullopt;
  AgentImage image;
  std::uint64_t end = 0;
  for (const Elf64_Phdr& program : programs) {
    if (program.p_type == PT_DYNAMIC) {
      image.dynamic_ = program.p_vaddr;
      image.dynamic_size_ = program.p_memsz;
    }
    if (program.p_type != PT_LOAD) continue;
    if (!inside(program.p_vaddr, program.p_memsz, kMostBytes)) return std::nullopt;
    end = std::max(end, program.p_vaddr + program.p_memsz);
  }
  image.bytes_.resize(whole_pages(end));
  if (end == 0 || !memory.copy(begin, image.bytes_) || !image.read_dynamic()) return std::nullopt;
  image.relocations_.clear();  // they were applied
  return image;
}

// The segments where they are in memory.
bool AgentImage::lay_out(std::span<const std::byte> file) {
  Elf64_Ehdr header;
  if (file.size() < sizeof(header)) return false;
  std::memcpy(&header, file.data(), sizeof(header));
  if (!is_ours(header) || !inside(header.e_phoff, header.e_phnum * sizeof(Elf64_Phdr), file.size())) return false;
  std::vector<Elf64_Phdr> programs(header.e_phnum);
  std::memcpy(programs.data(), file.data() + header.e_phoff, programs.size() * sizeof(Elf64_Phdr));
  std::uint64_t end = 0;
  writable_begin_ = ~0ull;
  for (const Elf64_Phdr& program : programs) {
    if (program.p_type == PT_TLS || program.p_type == PT_INTERP) return false;
    if (program.p_type == PT_DYNAMIC) {
      dynamic_ = program.p_vaddr;
      dynamic_size_ = program.p_memsz;
    }
    if (program.p_type != PT_LOAD) continue;
    if (!inside(program.p_vaddr, program.p_memsz, kMostBytes) || program.p_filesz > program.p_memsz ||
        !inside(program.p_offset, program.p_filesz, file.size())) {
      return false;
    }
    end = std::max(end, program.p_vaddr + program.p_memsz);
    if ((program.p_flags & PF_W) != 0) writable_begin_ = std::min(writable_begin_, program.p_vaddr & ~(kPageSize - 1));
  }
  bytes_.resize(whole_pages(end));
  writable_begin_ = std::min<std::uint64_t>(writable_begin_, bytes_.size());
  for (const Elf64_Phdr& program : programs) {
    if (program.p_type != PT_LOAD) continue;
    const bool writable = (program.p_flags & PF_W) != 0;
    if (!writable && program.p_vaddr + program.p_memsz > writable_begin_) return false;
    std::copy_n(file.data() + program.p_offset, program.p_filesz,
                bytes_.begin() + static_cast<std::ptrdiff_t>(program.p_vaddr));
  }
  return !bytes_.empty();
}

bool AgentImage::read_dynamic() {
  std::uint64_t symbols = 0, strings = 0, string_size = 0, hash = 0, gnu_hash = 0, relocations = 0, relocation_size = 0;
  for (std::size_t i = 0; i < kMostDynamic && (i + 1) * sizeof(Elf64_Dyn) <= dynamic_size_; ++i) {
    const auto entry = at<Elf64_Dyn>(dynamic_ + i * sizeof(Elf64_Dyn));
    if (!entry) return false;
    if (entry->d_tag == DT_NULL) break;
    const std::uint64_t value = entry->d_un.d_val;
    switch (entry->d_tag) {
      case DT_SYMTAB:
        symbols = value;
        break;
      case DT_STRTAB:
        strings = value;
        break;
      case DT_STRSZ:
        string_size = value;
        break;
      case DT_HASH:
        hash = value;
        break;
      case DT_GNU_HASH:
        gnu_hash = value;
        break;
      case DT_RELA:
        relocations = value;
        break;
      case DT_RELASZ:
        relocation_size = value;
        break;
      case DT_JMPREL:
      case DT_REL:
      case DT_RELR:
      case DT_NEEDED:
      case DT_INIT:
      case DT_INIT_ARRAY:
        return false;  // would need a loader
      default:
        break;
    }
  }
  const std::uint64_t count = hash != 0 ? at<std::uint32_t>(hash + 4).value_or(0) : count_symbols(gnu_hash);
  return read_relocations(relocations, relocation_size) && read_symbols(symbols, strings, string_size, count);
}

// A GNU hash table does not say how many there are: one more than the last of the last chain.
std::uint64_t AgentImage::count_symbols(std::uint64_t gnu_table) const {
  struct Header {
    std::uint32_t buckets, first_symbol, bloom_words, bloom_shift;
  };
  const auto header = at<Header>(gnu_table);
  if (gnu_table == 0 || !header || header->buckets > kMostSymbols || header->bloom_words > kMostSymbols) return 0;
  const std::uint64_t buckets = gnu_table + sizeof(Header) + std::uint64_t{header->bloom_words} * 8;
  std::uint64_t last = 0;
  for (std::uint64_t i = 0; i < header->buckets; ++i)
    last = std::max<std::uint64_t>(last, at<std::uint32_t>(buckets + i * 4).value_or(0));
  if (last < header->first_symbol) return header->first_symbol;
  const std::uint64_t chains = buckets + header->buckets * 4ull;
  for (; last < kMostSymbols; ++last) {
    const auto chained = at<std::uint32_t>(chains + (last - header->first_symbol) * 4);
    if (!chained || (*chained & 1) != 0) return last + 1;
  }
  return 0;
}

bool AgentImage::read_relocations(std::uint64_t offset, std::uint64_t size) {
  if (!inside(offset, size, bytes_.size())) return false;
  for (std::uint64_t i = 0; i < size / sizeof(Elf64_Rela); ++i) {
    const auto entry = at<Elf64_Rela>(offset + i * sizeof(Elf64_Rela));
    if (!entry || ELF64_R_TYPE(entry->r_info) != R_X86_64_RELATIVE || !inside(entry->r_offset, 8, bytes_.size()))
      return false;
    relocations_.push_back({entry->r_offset, static_cast<std::uint64_t>(entry->r_addend)});
  }
  return true;
}

bool AgentImage::read_symbols(std::uint64_t symbols, std::uint64_t strings, std::uint64_t string_size,
                              std::uint64_t count) {
  if (count == 0 || count > kMostSymbols || !inside(symbols, count * sizeof(Elf64_Sym), bytes_.size()) ||
      !inside(strings, string_size, bytes_.size())) {
    return false;
  }
  for (std::uint64_t i = 1; i < count; ++i) {
    const auto symbol = at<Elf64_Sym>(symbols + i * sizeof(Elf64_Sym));
    if (!symbol || symbol->st_name >= string_size) return false;
    if (symbol->st_shndx == SHN_UNDEF || symbol->st_value >= bytes_.size()) return false;
    const char* const text = reinterpret_cast<const char*>(bytes_.data() + strings + symbol->st_name);
    const std::size_t length = ::strnlen(text, std::min<std::uint64_t>(kMostName, string_size - symbol->st_name));
    symbols_.emplace(std::string(text, length), symbol->st_value);
    if (ELF64_ST_TYPE(symbol->st_info) == STT_FUNC) entries_.push_back(symbol->st_value);
  }
  std::sort(entries_.begin(), entries_.end());
  return true;
}

std::optional<std::uint64_t> AgentImage::symbol(std::string_view name) const {
  const auto found = symbols_.find(name);
  return found == symbols_.end() ? std::nullopt : std::optional(found->second);
}

std::string_view AgentImage::name_of(std::uint64_t offset) const {
  const auto found =
      std::find_if(symbols_.begin(), symbols_.end(), [&](const auto& symbol) { return symbol.second == offset; });
  return found == symbols_.end() ? std::string_view() : found->first;
}

bool AgentImage::is_return_address(std::uint64_t offset) const {
  constexpr auto kCallRelative = std::byte{0xe8};
  constexpr auto kIndirect = std::byte{0xff};
  constexpr unsigned kCallModifier = 2;  // of ModRM, bits 3 to 5
  constexpr std::array<std::uint64_t, 6> kLengths = {2, 3, 4, 6, 7, 8};
  if (offset > bytes_.size()) return false;
  if (offset >= 5 && bytes_[offset - 5] == kCallRelative) return true;
  return std::any_of(kLengths.begin(), kLengths.end(), [&](std::uint64_t length) {
    return offset >= length && bytes_[offset - length] == kIndirect &&
           (std::to_integer<unsigned>(bytes_[offset - length + 1]) >> 3 & 7) == kCallModifier;
  });
}

std::vector<std::byte> AgentImage::relocated(std::uint64_t address) const {
  std::vector<std::byte> bytes(bytes_);
  for (const Relocation& relocation : relocations_) {
    const std::uint64_t value = address + relocation.addend;
    std::memcpy(bytes.data() + relocation.offset, &value, sizeof(value));
  }
  return bytes;
}

}  // namespace memsnap
