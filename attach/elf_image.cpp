#include "attach/elf_image.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <span>
#include <utility>

#include "attach/base/file_descriptor.h"
#include "attach/build_id.h"
#include "attach/cached_memory.h"

namespace memsnap {
namespace {

constexpr std::size_t kMaxProgramHeaders = 256;
constexpr std::size_t kMaxDynamic = 4096;
constexpr std::size_t kMaxChain = 1u << 14;          // symbols looked at for one name
constexpr std::size_t kMaxFileSymbols = 1u << 20;    // of .symtab
constexpr std::uint64_t kMaxSection = 256ull << 20;  // read from a file, which may be sparse and claim any size
constexpr std::size_t kMaxName = 256;                // a symbol's name
constexpr std::size_t kMaxNote = 4096;

std::uint32_t gnu_hash(std::string_view name) {
  std::uint32_t hash = 5381;
  for (const char c : name) hash = hash * 33 + static_cast<unsigned char>(c);
  return hash;
}

std::uint32_t system_v_hash(std::string_view name) {
  std::uint32_t hash = 0;
  for (const char c : name) {
    hash = (hash << 4) + static_cast<unsigned char>(c);
    const std::uint32_t top = hash & 0xf0000000;
    hash = (hash ^ top >> 24) & ~top;
  }
  return hash;
}

// The part of an object that lies in the target's memory.
class LoadedImage final : public ElfImage {
 public:
  LoadedImage(std::shared_ptr<const ImageFiles> files, Mapping first, const ProcessMemory& memory)
      : files_(std::move(files)), first_(std::move(first)), memory_(memory) {}

  // False for what is no ELF object, and for a file that is only mapped to be read.
  bool parse(const MemoryMap& map) {
    const auto header = memory_.try_read<Elf64_Ehdr>(first_.begin);
    if (!header || std::memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) return false;
    is_64_bit_ = header->e_ident[EI_CLASS] == ELFCLASS64 && header->e_machine == EM_X86_64;
    if (!is_64_bit_) return true;
    if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum > kMaxProgramHeaders) return false;
    program_headers_.resize(header->e_phnum);
    const auto bytes = std::as_writable_bytes(std::span(program_headers_));
    if (!memory_.copy(address_of_offset(map, header->e_phoff), bytes)) return false;
    position_ = header->e_type == ET_DYN ? first_.begin - lowest_address() : 0;
    if (!is_loaded(map)) return false;
    for (const Elf64_Phdr& program : program_headers_) read_segment(program);
    return true;
  }

  const std::string& path() const override { return first_.name; }
  std::uint64_t load_bias() const override { return position_; }
  std::string build_id() const override { return build_id_; }
  bool is_64_bit_x86() const override { return is_64_bit_; }
  const std::vector<Section>& writable_segments() const override { return writable_; }

  Section range() const override {
    std::uint64_t highest = lowest_address();
    for (const Elf64_Phdr& program : program_headers_) {
      if (program.p_type == PT_LOAD && program.p_vaddr + program.p_memsz > highest)
        highest = program.p_vaddr + program.p_memsz;
    }
    return {position_ + lowest_address(), position_ + highest};
  }

  Section unwind_header() const override {
    std::uint64_t header = 0;
    for (const Elf64_Phdr& program : program_headers_) {
      if (program.p_type == PT_GNU_EH_FRAME) header = program.p_vaddr;
    }
    for (const Elf64_Phdr& program : program_headers_) {
      if (program.p_type == PT_LOAD && header >= program.p_vaddr && header - program.p_vaddr < program.p_filesz)
        return {position_ + header, position_ + program.p_vaddr + program.p_filesz};
    }
    return {};
  }

  FileDescriptor open() const override {
    FileDescriptor file = files_->open(first_, build_id_);
    Elf* const elf = file ? open_elf(file.get()) : nullptr;
    const bool is_same = elf != nullptr && file_build_id(elf) == build_id_;
    elf_end(elf);
    return is_same ? std::move(file) : FileDescriptor();
  }

  std::optional<std::uint64_t> symbol(std::string_view name) const override {
    const auto found = dynamic_symbol(name);
    return found ? position_ + found->st_value : file_symbol(name);
  }

  std::optional<std::uint64_t> exported_function(std::string_view name) const override {
    const auto found = dynamic_symbol(name);
    if (!found || ELF64_ST_TYPE(found->st_info) > STT_FUNC || ELF64_ST_TYPE(found->st_info) == STT_OBJECT) return {};
    return position_ + found->st_value;
  }

  std::uint64_t dynamic_section() const override { return dynamic_; }

  std::optional<Section> section(std::string_view name) const override {
    load_file();
    const auto found = sections_.find(name);
    return found == sections_.end() ? std::nullopt : std::optional(found->second);
  }

 private:
  template <class T>
  std::optional<T> read(std::uint64_t address) const {
    return memory_.try_read<T>(address);
  }

  std::optional<Elf64_Sym> dynamic_symbol(std::string_view name) const {
    if (symbols_ == 0 || strings_ == 0) return std::nullopt;
    auto found = gnu_table_ != 0 ? find_by_gnu_hash(name) : std::nullopt;
    if (!found && hash_table_ != 0) found = find_by_hash(name);
    return found;
  }

  std::uint64_t lowest_address() const {
    std::uint64_t lowest = ~0ull;
    for (const Elf64_Phdr& program : program_headers_) {
      if (program.p_type == PT_LOAD) lowest = std::min<std::uint64_t>(lowest, program.p_vaddr & ~0xfffull);
    }
    return lowest == ~0ull ? 0 : lowest;
  }

  bool is_same_file(const Mapping& mapping) const {
    return mapping.inode == first_.inode && mapping.device == first_.device;
  }

  // patchelf moves the program headers to the end of the file, which is not as far from the begin in memory.
  std::uint64_t address_of_offset(const MemoryMap& map, std::uint64_t offset) const {
    if (offset < first_.size()) return first_.begin + offset;
    for (const Mapping& mapping : map.mappings()) {
      if (mapping.begin < first_.end || !is_same_file(mapping)) continue;
      if (mapping.offset == 0) break;  // the same file once more
      if (offset >= mapping.offset && offset - mapping.offset < mapping.size())
        return mapping.begin + (offset - mapping.offset);
    }
    return first_.begin + offset;
  }

  // Whether the segments are where a loader puts them. A debugger's or a profiler's mapping of a whole file is not: its
  // symbols would be taken for those of the real one. A segment that was replaced by anonymous memory is let pass.
  bool is_loaded(const MemoryMap& map) const {
    if (position_ + lowest_address() != first_.begin) return false;
    for (const Elf64_Phdr& program : program_headers_) {
      if (program.p_type != PT_LOAD || program.p_filesz == 0) continue;
      const std::uint64_t address = position_ + program.p_vaddr;
      const Mapping* const mapping = map.find(address);
      if (mapping == nullptr || ((program.p_flags & PF_X) != 0 && !mapping->executable)) return false;
      if (is_same_file(*mapping) && mapping->offset + (address - mapping->begin) != program.p_offset) return false;
    }
    return true;
  }

  void read_segment(const Elf64_Phdr& program) {
    const std::uint64_t begin = position_ + program.p_vaddr;
    if (program.p_type == PT_LOAD && (program.p_flags & PF_W) != 0 && begin + program.p_memsz > begin) {
      writable_.push_back({begin, begin + program.p_memsz});
    } else if (program.p_type == PT_NOTE && build_id_.empty()) {
      std::vector<std::byte> notes(std::min<std::size_t>(program.p_filesz, kMaxNote));
      if (memory_.copy(begin, notes)) build_id_ = build_id_of_notes(notes);
    } else if (program.p_type == PT_DYNAMIC) {
      dynamic_ = begin;
      read_dynamic(begin);
    }
  }

  // The dynamic linker relocates these pointers in place, but not for every object: below the load address they are
  // offsets.
  std::uint64_t absolute(std::uint64_t pointer) const { return pointer < position_ ? pointer + position_ : pointer; }

  void read_dynamic(std::uint64_t address) {
    for (std::size_t i = 0; i < kMaxDynamic; ++i) {
      const auto entry = read<Elf64_Dyn>(address + i * sizeof(Elf64_Dyn));
      if (!entry || entry->d_tag == DT_NULL) return;
      switch (entry->d_tag) {
        case DT_SYMTAB:
          symbols_ = absolute(entry->d_un.d_ptr);
          break;
        case DT_STRTAB:
          strings_ = absolute(entry->d_un.d_ptr);
          break;
        case DT_HASH:
          hash_table_ = absolute(entry->d_un.d_ptr);
          break;
        case DT_GNU_HASH:
          gnu_table_ = absolute(entry->d_un.d_ptr);
          break;
        default:
          break;
      }
    }
  }

  // The symbol when it is defined and has that name.
  std::optional<Elf64_Sym> match(std::uint64_t index, std::string_view name) const {
    const auto symbol = read<Elf64_Sym>(symbols_ + index * sizeof(Elf64_Sym));
    if (!symbol || symbol->st_shndx == SHN_UNDEF || name.size() > kMaxName) return std::nullopt;
    std::array<char, kMaxName + 1> text{};
    const auto bytes = std::as_writable_bytes(std::span(text)).first(name.size() + 1);
    if (!memory_.copy(strings_ + symbol->st_name, bytes)) return std::nullopt;
    if (std::string_view(text.data(), name.size()) != name || text[name.size()] != '\0') return std::nullopt;
    return symbol;
  }

  std::optional<Elf64_Sym> find_by_gnu_hash(std::string_view name) const {
    struct Header {
      std::uint32_t buckets, first_symbol, bloom_words, bloom_shift;
    };
    const auto header = read<Header>(gnu_table_);
    if (!header || header->buckets == 0) return std::nullopt;
    const std::uint32_t hash = gnu_hash(name);
    const std::uint64_t buckets = gnu_table_ + sizeof(Header) + std::uint64_t{header->bloom_words} * 8;
    const auto bucket = read<std::uint32_t>(buckets + hash % header->buckets * 4ull);
    if (!bucket || *bucket < header->first_symbol) return std::nullopt;
    const std::uint64_t chains = buckets + header->buckets * 4ull;
    for (std::uint64_t i = 0, index = *bucket; i < kMaxChain; ++i, ++index) {
      const auto chained = read<std::uint32_t>(chains + (index - header->first_symbol) * 4);
      if (!chained) return std::nullopt;
      if ((*chained | 1) == (hash | 1)) {
        if (const auto found = match(index, name)) return found;
      }
      if ((*chained & 1) != 0) return std::nullopt;
    }
    return std::nullopt;
  }

  std::optional<Elf64_Sym> find_by_hash(std::string_view name) const {
    const auto counts = read<std::array<std::uint32_t, 2>>(hash_table_);
    if (!counts || (*counts)[0] == 0) return std::nullopt;
    const std::uint64_t buckets = hash_table_ + 8;
    const std::uint64_t chains = buckets + (*counts)[0] * 4ull;
    auto index = read<std::uint32_t>(buckets + system_v_hash(name) % (*counts)[0] * 4ull);
    for (std::size_t i = 0; i < kMaxChain && index && *index != 0; ++i) {
      if (const auto found = match(*index, name)) return found;
      index = read<std::uint32_t>(chains + *index * 4ull);
    }
    return std::nullopt;
  }

  std::optional<std::uint64_t> file_symbol(std::string_view name) const {
    load_file();
    const auto found = file_symbols_.find(name);
    return found == file_symbols_.end() ? std::nullopt : std::optional(found->second);
  }

  // Section addresses and .symtab, only when the file is the one that was loaded.
  void load_file() const {
    if (std::exchange(file_loaded_, true)) return;
    const FileDescriptor file = files_->open(first_, build_id_);
    Elf* const elf = file ? open_elf(file.get()) : nullptr;
    if (elf == nullptr) return;
    std::size_t names = 0;
    if (elf_getshdrstrndx(elf, &names) == 0 && file_build_id(elf) == build_id_) {
      for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;)
        read_section(elf, section, names);
    }
    elf_end(elf);
  }

  // nullptr for what cannot be read with modest means.
  static Elf* open_elf(int file) {
    if (!has_modest_header(file) || elf_version(EV_CURRENT) == EV_NONE) return nullptr;
    // Not mapped: a file cut short meanwhile would be a SIGBUS here.
    Elf* const elf = elf_begin(file, ELF_C_READ, nullptr);
    if (elf == nullptr || has_modest_sections(elf)) return elf;
    elf_end(elf);
    return nullptr;
  }

  // libelf allocates for as many sections as are claimed, and 2^32 can be where the count is not in the header.
  static bool has_modest_header(int file) {
    Elf64_Ehdr header{};
    return ::pread(file, &header, sizeof(header), 0) == sizeof(header) && header.e_shnum != 0;
  }

  // It allocates what a section claims to hold, too.
  static bool has_modest_sections(Elf* elf) {
    for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
      GElf_Shdr header{};
      if (gelf_getshdr(section, &header) == nullptr) return false;
      const bool is_read = header.sh_type == SHT_SYMTAB || header.sh_type == SHT_STRTAB || header.sh_type == SHT_NOTE;
      if (is_read && header.sh_size > kMaxSection) return false;
    }
    return true;
  }

  static std::string file_build_id(Elf* elf) {
    for (Elf_Scn* section = nullptr; (section = elf_nextscn(elf, section)) != nullptr;) {
      GElf_Shdr header{};
      if (gelf_getshdr(section, &header) == nullptr || header.sh_type != SHT_NOTE) continue;
      const Elf_Data* const data = elf_rawdata(section, nullptr);
      if (data == nullptr || data->d_buf == nullptr) continue;
      std::string id = build_id_of_notes({static_cast<const std::byte*>(data->d_buf), data->d_size});
      if (!id.empty()) return id;
    }
    return "";
  }

  void read_section(Elf* elf, Elf_Scn* section, std::size_t names) const {
    GElf_Shdr header{};
    if (gelf_getshdr(section, &header) == nullptr) return;
    const char* const name = elf_strptr(elf, names, header.sh_name);
    if (name != nullptr && (header.sh_flags & SHF_ALLOC) != 0) {
      sections_[name] = {position_ + header.sh_addr, position_ + header.sh_addr + header.sh_size};
    }
    if (header.sh_type != SHT_SYMTAB || header.sh_entsize == 0) return;
    Elf_Data* const data = elf_getdata(section, nullptr);
    for (std::size_t i = 0; data != nullptr && i < header.sh_size / header.sh_entsize && i < kMaxFileSymbols; ++i) {
      GElf_Sym symbol{};
      if (gelf_getsym(data, static_cast<int>(i), &symbol) == nullptr || symbol.st_shndx == SHN_UNDEF) continue;
      const char* const text = elf_strptr(elf, header.sh_link, symbol.st_name);
      if (text != nullptr && *text != '\0') file_symbols_.emplace(text, position_ + symbol.st_value);
    }
  }

  std::shared_ptr<const ImageFiles> files_;
  Mapping first_;
  const ProcessMemory& memory_;
  bool is_64_bit_ = false;
  std::uint64_t position_ = 0;
  std::string build_id_;
  std::vector<Elf64_Phdr> program_headers_;
  std::vector<Section> writable_;
  std::uint64_t dynamic_ = 0;
  std::uint64_t symbols_ = 0;
  std::uint64_t strings_ = 0;
  std::uint64_t hash_table_ = 0;
  std::uint64_t gnu_table_ = 0;
  mutable bool file_loaded_ = false;
  mutable std::map<std::string, Section, std::less<>> sections_;
  mutable std::map<std::string, std::uint64_t, std::less<>> file_symbols_;
};

// The files of a running process.
class LiveFiles final : public ImageFiles {
 public:
  explicit LiveFiles(pid_t pid) : pid_(pid) {
    struct stat program {};
    if (::stat(fmt::format("/proc/{}/exe", pid).c_str(), &program) == 0) program_ = program.st_ino;
  }

  FileDescriptor open(const Mapping& first, const std::string& build_id) const override {
    const std::array<std::string, 2> paths = {fmt::format("/proc/{}/map_files/{:x}-{:x}", pid_, first.begin, first.end),
                                              fmt::format("/proc/{}/root{}", pid_, first.name)};
    for (const std::string& path : paths) {
      struct stat status {};
      FileDescriptor file = open_regular_file(path, &status);
      // What lies at the path by now may be another file; without a build id only the inode can say so.
      if (file && (!build_id.empty() || &path != &paths.back() || status.st_ino == first.inode)) return file;
    }
    return {};
  }
  bool is_program(const Mapping& first) const override { return program_ != 0 && first.inode == program_; }

 private:
  pid_t pid_;
  std::uint64_t program_ = 0;  // inode
};

}  // namespace

FileDescriptor open_regular_file(const std::string& path, struct stat* status) {
  // Looked at before it is opened: opening a device or a FIFO in whose place the target put its name can have effects.
  const FileDescriptor place(::open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place || ::fstat(place.get(), status) != 0 || !S_ISREG(status->st_mode)) return {};
  return FileDescriptor(
      ::open(fmt::format("/proc/self/fd/{}", place.get()).c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
}

std::vector<std::unique_ptr<ElfImage>> loaded_images(pid_t pid, const MemoryMap& map, const ProcessMemory& memory) {
  auto images = loaded_images(std::make_shared<LiveFiles>(pid), map, memory);
  if (images.empty()) require_readable(pid, map);
  return images;
}

std::vector<std::unique_ptr<ElfImage>> loaded_images(const std::shared_ptr<const ImageFiles>& files,
                                                     const MemoryMap& map, const ProcessMemory& memory) {
  std::vector<std::unique_ptr<ElfImage>> images;
  for (const Mapping& mapping : map.mappings()) {
    if (mapping.offset != 0 || mapping.inode == 0 || !mapping.readable) continue;
    auto image = std::make_unique<LoadedImage>(files, mapping, memory);
    if (!image->parse(map)) continue;
    images.insert(files->is_program(mapping) ? images.begin() : images.end(), std::move(image));
  }
  return images;
}

}  // namespace memsnap
