#include "attach/core_process.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <utility>

#include "attach/build_id.h"
#include "attach/cached_memory.h"

namespace memsnap {
namespace {

constexpr std::size_t kCacheBytes = 256u << 20;
constexpr std::size_t kMaxProgramHeaders = 256;
constexpr std::size_t kMaxNotes = 1u << 16;

// What the core itself has of a mapped file's begin: the kernel stores the first page of what looks like ELF.
struct StoredHeader {
  bool known = false;  // the first bytes are there
  bool is_elf = false;
  std::optional<std::string> build_id;  // empty text: it has none
};

StoredHeader header_at(const ProcessMemory& memory, std::uint64_t begin) {
  StoredHeader found;
  const auto header = memory.try_read<Elf64_Ehdr>(begin);
  if (!header) return found;
  found.known = true;
  found.is_elf = std::memcmp(header->e_ident, ELFMAG, SELFMAG) == 0 && header->e_ident[EI_CLASS] == ELFCLASS64 &&
                 header->e_phentsize == sizeof(Elf64_Phdr) && header->e_phnum <= kMaxProgramHeaders;
  if (!found.is_elf || header->e_phoff > 1u << 20) return found;
  std::vector<Elf64_Phdr> programs(header->e_phnum);
  if (!memory.copy(begin + header->e_phoff, std::as_writable_bytes(std::span(programs)))) return found;
  std::string id;
  for (const Elf64_Phdr& program : programs) {
    if (program.p_type != PT_NOTE || !id.empty()) continue;
    std::vector<std::byte> notes(std::min<std::size_t>(program.p_filesz, kMaxNotes));
    if (program.p_offset > 1u << 30 || !memory.copy(begin + program.p_offset, notes)) return found;
    id = build_id_of_notes(notes);
  }
  found.build_id = id;
  return found;
}

}  // namespace

// The files that were found, by the path they were mapped from.
class CoreProcess::Files final : public ImageFiles {
 public:
  FileDescriptor open(const Mapping& first, const std::string& build_id) const override {
    const auto found = files_.find(first.name);
    if (found == files_.end() || (build_id_of_file(found->second.get()) != build_id)) return {};
    return FileDescriptor(::fcntl(found->second.get(), F_DUPFD_CLOEXEC, 0));
  }
  bool is_program(const Mapping& first) const override { return !program_.empty() && first.name == program_; }

  int keep(const std::string& path, FileDescriptor file) {
    return files_.insert_or_assign(path, std::move(file)).first->second.get();
  }
  void set_program(const std::string& path) { program_ = path; }

 private:
  std::map<std::string, FileDescriptor> files_;
  std::string program_;
};

CoreProcess::CoreProcess(const CoreFile& core, const FileFinder& finder)
    : map_(memory_map_of(core)), stored_(stored_memory(core)), files_(std::make_shared<Files>()) {
  facts_.method = Method::kCore;
  facts_.threads = static_cast<std::uint32_t>(core.process().threads.size());
  facts_.partial = core.bytes_cut_off() != 0;
  if (const Mapping* const program = map_.find(core.process().program_headers);
      program != nullptr && program->inode != 0) {
    program_ = program->name;
    files_->set_program(program_);
  }
  add_files(finder);
  cached_ = std::make_unique<CachedMemory>(stored_, map_, kCacheBytes);
}

CoreProcess::~CoreProcess() = default;

const ProcessMemory& CoreProcess::memory() const { return *cached_; }

std::vector<std::unique_ptr<ElfImage>> CoreProcess::images() const { return loaded_images(files_, map_, memory()); }

CoreMemory stored_memory(const CoreFile& core) {
  CoreMemory memory;
  for (const CoreSegment& segment : core.segments()) {
    const std::uint64_t present_end = segment.begin + segment.present;
    memory.add(segment.begin, present_end, core.descriptor(), segment.offset);
    memory.block(present_end, segment.begin + segment.stored);
  }
  return memory;
}

void CoreProcess::add_files(const FileFinder& finder) {
  std::map<std::string, std::vector<const Mapping*>> by_path;
  for (const Mapping& mapping : map_.mappings()) {
    if (mapping.inode != 0) by_path[mapping.name].push_back(&mapping);
  }
  for (const auto& [path, mappings] : by_path) {
    if (!path.starts_with('/')) continue;
    WantedFile wanted{.path = path, .build_id = std::nullopt, .is_program = path == program_};
    // Where the core has no first page it is most likely none, since the kernel keeps those of ELF files.
    bool is_elf = wanted.is_program || path.find(".so") != std::string::npos;
    for (const Mapping* mapping : mappings) {
      if (mapping->offset != 0) continue;
      const StoredHeader header = header_at(stored_, mapping->begin);
      if (header.known) is_elf = header.is_elf;
      if (!wanted.build_id) wanted.build_id = header.build_id;
    }
    if (is_elf) add_file(wanted, mappings, finder);
  }
}

void CoreProcess::add_file(const WantedFile& wanted, std::span<const Mapping* const> mappings,
                           const FileFinder& finder) {
  std::uint64_t missing = 0;
  for (const Mapping* mapping : mappings) missing += stored_.missing(mapping->begin, mapping->end);
  FoundFile found = finder.find(wanted);
  struct stat status {};
  if (!found.file || ::fstat(found.file.get(), &status) != 0) {
    if (missing != 0)
      missing_.push_back({wanted.path, wanted.build_id.value_or(""), missing, std::move(found.refused)});
    return;
  }
  if (wanted.build_id.value_or("").empty() && missing != 0) unproven_.push_back(found.path);
  const int file = files_->keep(wanted.path, std::move(found.file));
  const auto size = static_cast<std::uint64_t>(status.st_size);
  for (const Mapping* mapping : mappings) {
    if (mapping->offset >= size) continue;
    stored_.add(mapping->begin, mapping->begin + std::min(mapping->size(), size - mapping->offset), file,
                mapping->offset);
  }
}

}  // namespace memsnap
