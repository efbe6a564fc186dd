#include "attach/core_file.h"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <libelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "attach/base/error.h"
#include "attach/core_notes.h"
#include "attach/elf_image.h"

namespace memsnap {
namespace {

constexpr std::uint64_t kMaxNotes = 512ull << 20;     // 10 KiB for each of 50,000 threads
constexpr std::size_t kMaxProgramHeaders = 4u << 20;  // vm.max_map_count is 65530 where nobody raised it
constexpr std::uint64_t kMaxOffset = ~0ull >> 2;

struct ElfEnd {
  void operator()(Elf* elf) const { elf_end(elf); }
};
using ElfHandle = std::unique_ptr<Elf, ElfEnd>;

[[noreturn]] void refuse(const std::string& path, const std::string& why, ExitCode code = ExitCode::kBadFile,
                         const char* hint = "") {
  throw Error(code, fmt::format("{}: {}", path, why),
              *hint != '\0' ? hint : "give a core file, made by the kernel or by gcore");
}

// systemd-coredump keeps cores compressed.
[[noreturn]] void refuse_other_file(const std::string& path, const Elf64_Ehdr& begin, std::uint64_t size) {
  constexpr std::array<std::string_view, 4> kCompressed{"\x28\xb5\x2f\xfd", "\x04\x22\x4d\x18", "\xfd\x37\x7a\x58",
                                                        "\x1f\x8b"};
  const std::string_view magic(reinterpret_cast<const char*>(begin.e_ident), sizeof(begin.e_ident));
  if (std::any_of(kCompressed.begin(), kCompressed.end(), [&](auto known) { return magic.starts_with(known); })) {
    refuse(path, "compressed", ExitCode::kBadFile, "unpack it first: coredumpctl dump -o FILE PID, or zstd -d");
  }
  refuse(path, size == 0 ? "empty" : "not an ELF file");
}

// Sorts and cuts what overlaps, which only a forged core does.
template <class Range>
void keep_apart(std::vector<Range>& ranges) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) { return a.begin < b.begin; });
  std::uint64_t end = 0;
  std::erase_if(ranges, [&](const Range& range) {
    if (range.begin < end) return true;
    end = range.end;
    return false;
  });
}

}  // namespace

CoreFile::CoreFile(const std::string& path) : path_(path) {
  struct stat status {};
  file_ = open_regular_file(path, &status);
  if (!file_) {
    const int error = ::stat(path.c_str(), &status) == 0 && !S_ISREG(status.st_mode) ? 0 : errno;
    refuse(path, error == 0 ? "not a file" : std::strerror(error));
  }
  size_ = static_cast<std::uint64_t>(status.st_size);
  modified_ns_ = status.st_mtim.tv_sec * 1'000'000'000ll + status.st_mtim.tv_nsec;
  read_headers();
  keep_apart(segments_);
  keep_apart(files_);
  if (process_.pid == 0 && !process_.threads.empty()) process_.pid = process_.threads.front().tid;
}

void CoreFile::read_headers() {
  if (elf_version(EV_CURRENT) == EV_NONE) throw Error(ExitCode::kInternal, "libelf is too old", "");
  Elf64_Ehdr begin{};
  // libelf allocates for as many sections as are claimed, and 2^64 can be where the count is not in the header.
  const bool complete = ::pread(file_.get(), &begin, sizeof(begin), 0) == sizeof(begin);
  if (complete && begin.e_shoff != 0 && begin.e_shnum == 0) refuse(path_, "its headers are damaged");
  // Not mapped: a core that is cut off meanwhile would be a SIGBUS here.
  const ElfHandle elf(elf_begin(file_.get(), ELF_C_READ, nullptr));
  GElf_Ehdr header{};
  if (!elf || elf_kind(elf.get()) != ELF_K_ELF || gelf_getehdr(elf.get(), &header) == nullptr)
    refuse_other_file(path_, begin, size_);
  if (header.e_type != ET_CORE) refuse(path_, "an ELF file, but not a core");
  if (header.e_machine != EM_X86_64 || gelf_getclass(elf.get()) != ELFCLASS64) {
    refuse(path_, "the core of a process of another machine", ExitCode::kUnsupported,
           "memsnap reads cores of 64-bit x86 processes");
  }
  std::size_t count = 0;
  // The count that is claimed is checked before libelf allocates for it.
  const bool counted = elf_getphdrnum(elf.get(), &count) == 0 && count <= kMaxProgramHeaders;
  // It gives fewer than are claimed when the file ends before them.
  if (!counted || count < begin.e_phnum || header.e_phoff > size_ ||
      count > (size_ - header.e_phoff) / sizeof(Elf64_Phdr))
    refuse(path_, "cut off within its headers", ExitCode::kBadFile, "copy it again, or raise the limit: ulimit -c");
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Phdr program{};
    if (gelf_getphdr(elf.get(), static_cast<int>(i), &program) == nullptr) refuse(path_, "its headers are damaged");
    if (program.p_type == PT_NOTE) read_notes(program.p_offset, program.p_filesz);
    if (program.p_type != PT_LOAD) continue;
    add_segment({.begin = program.p_vaddr,
                 .end = program.p_vaddr + program.p_memsz,
                 .offset = program.p_offset,
                 .stored = std::min(program.p_filesz, program.p_memsz),
                 .readable = (program.p_flags & PF_R) != 0,
                 .writable = (program.p_flags & PF_W) != 0,
                 .executable = (program.p_flags & PF_X) != 0});
  }
  if (segments_.empty()) refuse(path_, "a core without memory", ExitCode::kBadFile, "copy it again");
}

void CoreFile::add_segment(const CoreSegment& segment) {
  // The page of the old system calls lies above all that a process can map.
  if (segment.begin >= segment.end || segment.end >> 47 != 0 || segment.offset > kMaxOffset) return;
  CoreSegment added = segment;
  const std::uint64_t left = segment.offset < size_ ? size_ - segment.offset : 0;
  added.present = std::min(segment.stored, left);
  cut_off_ += added.stored - added.present;
  segments_.push_back(added);
}

void CoreFile::read_notes(std::uint64_t offset, std::uint64_t size) {
  if (offset > size_ || size > size_ - offset || size > kMaxNotes) {
    ++bad_notes_;
    if (offset > size_) return;
    size = std::min(size_ - offset, kMaxNotes);
  }
  const ElfHandle elf(elf_begin(file_.get(), ELF_C_READ, nullptr));
  Elf_Data* const data = !elf || size == 0
                             ? nullptr
                             : elf_getdata_rawchunk(elf.get(), static_cast<std::int64_t>(offset), size, ELF_T_NHDR);
  if (data == nullptr) return;
  const std::span bytes(static_cast<const std::byte*>(data->d_buf), data->d_size);
  GElf_Nhdr note{};
  std::size_t name = 0;
  std::size_t contents = 0;
  for (std::size_t at = 0; (at = gelf_getnote(data, at, &note, &name, &contents)) > 0;) {
    const std::string_view owner(reinterpret_cast<const char*>(bytes.data()) + name, note.n_namesz);
    if (!owner.starts_with("CORE")) continue;
    const auto body = bytes.subspan(contents, note.n_descsz);
    bool good = true;
    if (note.n_type == NT_PRSTATUS) good = read_status_note(body, process_);
    if (note.n_type == NT_PRPSINFO) good = read_info_note(body, process_);
    if (note.n_type == NT_SIGINFO) good = read_signal_note(body, process_);
    if (note.n_type == NT_AUXV) good = read_auxiliary_note(body, process_);
    if (note.n_type == NT_FILE) good = read_files_note(body, files_);
    bad_notes_ += good ? 0 : 1;
  }
}

namespace {

class MapMaker {
 public:
  explicit MapMaker(const CoreFile& core) : core_(core) {}

  MemoryMap make() {
    for (const CoreSegment& segment : core_.segments()) add_segment(segment);
    for (const CoreMappedFile& file : core_.mapped_files()) add_left_out(file);
    // What holds the bytes the kernel gave the process at its start is the stack of the main thread.
    for (Mapping& mapping : made_) {
      const std::uint64_t place = core_.process().random_bytes;
      if (mapping.inode == 0 && place >= mapping.begin && place < mapping.end) mapping.name = "[stack]";
    }
    return MemoryMap(std::move(made_));
  }

 private:
  Mapping file_mapping(const CoreMappedFile& file, std::uint64_t begin, std::uint64_t end) {
    Mapping mapping;
    mapping.begin = begin;
    mapping.end = end;
    mapping.offset = file.offset + (begin - file.begin);
    mapping.inode = inodes_.emplace(file.path, inodes_.size() + 1).first->second;
    mapping.name = file.path;
    return mapping;
  }

  void add(Mapping mapping, const CoreSegment& segment) {
    mapping.readable = segment.readable;
    mapping.writable = segment.writable;
    mapping.executable = segment.executable;
    made_.push_back(std::move(mapping));
  }

  void add_segment(const CoreSegment& segment) {
    const auto anonymous = [&](std::uint64_t begin, std::uint64_t end) {
      Mapping mapping;
      mapping.begin = begin;
      mapping.end = end;
      if (begin < end) add(std::move(mapping), segment);
    };
    std::uint64_t at = segment.begin;
    const auto& files = core_.mapped_files();
    auto file = std::partition_point(files.begin(), files.end(),
                                     [&](const CoreMappedFile& other) { return other.end <= segment.begin; });
    for (; file != files.end() && file->begin < segment.end; ++file) {
      const std::uint64_t begin = std::max(at, file->begin);
      anonymous(at, begin);
      at = std::min(file->end, segment.end);
      add(file_mapping(*file, begin, at), segment);
    }
    anonymous(at, segment.end);
  }

  // The parts of a file's mapping that no segment covers.
  void add_left_out(const CoreMappedFile& file) {
    const auto text = [&](std::uint64_t begin, std::uint64_t end) {
      if (begin < end) add(file_mapping(file, begin, end), {.readable = true, .executable = true});
    };
    std::uint64_t at = file.begin;
    const auto& segments = core_.segments();
    auto segment = std::partition_point(segments.begin(), segments.end(),
                                        [&](const CoreSegment& other) { return other.end <= file.begin; });
    for (; segment != segments.end() && segment->begin < file.end; ++segment) {
      text(at, std::max(at, segment->begin));
      at = std::min(segment->end, file.end);
    }
    text(at, file.end);
  }

  const CoreFile& core_;
  std::map<std::string, std::uint64_t> inodes_;
  std::vector<Mapping> made_;
};

}  // namespace

MemoryMap memory_map_of(const CoreFile& core) { return MapMaker(core).make(); }

}  // namespace memsnap
