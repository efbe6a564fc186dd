#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "attach/core_file.h"
#include "attach/core_memory.h"
#include "attach/elf_image.h"
#include "attach/file_finder.h"
#include "attach/frozen_process.h"

namespace memsnap {

// A program or library whose bytes are neither in the core nor in a file that was found.
struct MissingFile {
  std::string path;
  std::string build_id;  // hex; empty: none, or not known
  std::uint64_t bytes = 0;
  std::vector<std::string> refused;  // files in its place that are others
};

// What the core itself has of the memory; what was cut off is blocked, since its file may have it otherwise.
CoreMemory stored_memory(const CoreFile& core);

// The process of a core file: its memory is the core's, and where the core has none (the kernel leaves out what a file
// has), that of the very files it ran. No code can run in it.
class CoreProcess final : public FrozenProcess {
 public:
  // Throws Error kBadFile when `exe` is not the core's program.
  CoreProcess(const CoreFile& core, const FileFinder& finder);
  ~CoreProcess() override;
  CoreProcess(const CoreProcess&) = delete;
  CoreProcess& operator=(const CoreProcess&) = delete;

  const ProcessMemory& memory() const override;
  const MemoryMap& map() const override { return map_; }
  const FreezeFacts& facts() const override { return facts_; }
  std::vector<std::string> release() override { return {}; }

  // The programs and libraries in it, the main one first.
  std::vector<std::unique_ptr<ElfImage>> images() const;
  const std::string& program() const { return program_; }  // its path
  const std::vector<MissingFile>& missing() const { return missing_; }
  // Files taken by their name alone, since the core has no build id of them.
  const std::vector<std::string>& unproven() const { return unproven_; }

 private:
  class Files;
  void add_files(const FileFinder& finder);
  void add_file(const WantedFile& wanted, std::span<const Mapping* const> mappings, const FileFinder& finder);

  MemoryMap map_;
  FreezeFacts facts_;
  CoreMemory stored_;
  std::unique_ptr<ProcessMemory> cached_;
  std::shared_ptr<Files> files_;
  std::string program_;
  std::vector<MissingFile> missing_;
  std::vector<std::string> unproven_;
};

}  // namespace memsnap
