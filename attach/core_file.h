#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attach/base/file_descriptor.h"
#include "attach/memory_map.h"

namespace memsnap {

// One thread as NT_PRSTATUS has it: the thread that got the signal is the first.
struct CoreThread {
  pid_t tid = 0;
  int signal = 0;
  user_regs_struct registers{};
};

// What NT_PRPSINFO, NT_PRSTATUS, NT_SIGINFO and NT_AUXV say of the process. All of it is the core's word.
struct CoreProcessInfo {
  pid_t pid = 0;
  std::uint32_t uid = 0;
  std::string name;       // comm, 15 bytes
  std::string arguments;  // 79 bytes of the command line
  std::vector<CoreThread> threads;
  int signal = 0;                     // that ended it; 0: none, as in a copy of a running process by gcore
  std::uint64_t fault_address = 0;    // of SIGSEGV, SIGBUS, SIGILL, SIGFPE and SIGTRAP
  std::uint64_t program_headers = 0;  // AT_PHDR, in the main program
  std::uint64_t random_bytes = 0;     // AT_RANDOM, on the main thread's stack
};

// A range of memory that was mapped, and what of it is in the core.
struct CoreSegment {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t offset = 0;   // in the core
  std::uint64_t stored = 0;   // bytes said to be there
  std::uint64_t present = 0;  // bytes that are there: fewer when the core was cut off
  bool readable = false, writable = false, executable = false;
};

// A part of a file that was mapped (NT_FILE).
struct CoreMappedFile {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t offset = 0;
  std::string path;
};

// An ELF core of a 64-bit x86 process, by the kernel or by gcore. Only headers and notes are held in memory.
class CoreFile {
 public:
  // Throws Error: kBadFile for what is no core, or is cut off within its headers; kUnsupported for another machine's.
  explicit CoreFile(const std::string& path);

  const std::string& path() const { return path_; }
  int descriptor() const { return file_.get(); }
  std::int64_t modified_ns() const { return modified_ns_; }  // a core does not say when it was made; its file does
  const CoreProcessInfo& process() const { return process_; }
  const std::vector<CoreSegment>& segments() const { return segments_; }      // ascending, apart
  const std::vector<CoreMappedFile>& mapped_files() const { return files_; }  // ascending, apart
  std::uint64_t bytes_cut_off() const { return cut_off_; }
  // Notes that were cut short or say what cannot be.
  std::uint64_t bad_notes() const { return bad_notes_; }

 private:
  void read_headers();
  void read_notes(std::uint64_t offset, std::uint64_t size);
  void add_segment(const CoreSegment& segment);

  std::string path_;
  FileDescriptor file_;
  std::uint64_t size_ = 0;
  std::int64_t modified_ns_ = 0;
  CoreProcessInfo process_;
  std::vector<CoreSegment> segments_;
  std::vector<CoreMappedFile> files_;
  std::uint64_t cut_off_ = 0;
  std::uint64_t bad_notes_ = 0;
};

// The mappings the process had. A file's mapping has an inode that is made up: one for each path. gcore leaves out what
// it does not store: such a mapping is known from NT_FILE alone and taken for text.
MemoryMap memory_map_of(const CoreFile& core);

}  // namespace memsnap
