#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "attach/memory_map.h"
#include "attach/process_memory.h"

namespace memsnap {

// One ELF object loaded in the target: its dynamic symbols and sections, with addresses in the target.
// Symbols come from PT_DYNAMIC in the target's memory (works in chroots, containers and for deleted files); section
// names and .symtab from the file (map_files, then /proc/PID/root) when it can be read and its build id is the same.
class ElfImage {
 public:
  virtual ~ElfImage() = default;
  virtual const std::string& path() const = 0;  // as mapped
  virtual std::uint64_t load_bias() const = 0;  // address in the target minus p_vaddr
  virtual std::string build_id() const = 0;     // hex, empty when there is none
  virtual bool is_64_bit_x86() const = 0;
  virtual std::optional<std::uint64_t> symbol(std::string_view name) const = 0;  // address in the target
  struct Section {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
  };
  virtual std::optional<Section> section(std::string_view name) const = 0;  // e.g. ".PyRuntime"; empty when unknown
  // Writable PT_LOAD ranges: .data and .bss, where static types live.
  virtual const std::vector<Section>& writable_segments() const = 0;
  // Of dynamic symbols alone, and only what can be called: what the loader would bind to, without a file being opened.
  virtual std::optional<std::uint64_t> exported_function(std::string_view /*name*/) const { return std::nullopt; }
  // Where its dynamic section lies in the target; 0: it has none.
  virtual std::uint64_t dynamic_section() const { return 0; }
  // All that was loaded of it.
  virtual Section range() const { return {}; }
  // From where its table for unwinding (.eh_frame_hdr) begins to the end of the segment that holds it; empty: it has
  // none.
  virtual Section unwind_header() const { return {}; }
  // The file it was loaded from, when it is still there, has the same build id and is not absurd; else empty.
  virtual FileDescriptor open() const { return {}; }
};

// All ELF objects in `map`, the main program first. What cannot be parsed is left out. Bounds checked: `memory` is
// hostile.
std::vector<std::unique_ptr<ElfImage>> loaded_images(pid_t pid, const MemoryMap& map, const ProcessMemory& memory);

// Where the files of loaded images are: of a running process under /proc, of a core wherever they are found.
class ImageFiles {
 public:
  virtual ~ImageFiles() = default;
  // The file mapped there; empty when it cannot be had. `build_id` is the image's, empty when it has none.
  virtual FileDescriptor open(const Mapping& first, const std::string& build_id) const = 0;
  virtual bool is_program(const Mapping& first) const = 0;
};
std::vector<std::unique_ptr<ElfImage>> loaded_images(const std::shared_ptr<const ImageFiles>& files,
                                                     const MemoryMap& map, const ProcessMemory& memory);

// Empty for what is no regular file, which is not opened at all, and when it cannot be opened.
FileDescriptor open_regular_file(const std::string& path, struct stat* status);

}  // namespace memsnap
