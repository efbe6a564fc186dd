#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attach/base/file_descriptor.h"

namespace memsnap {

// A program or library whose bytes are wanted.
struct WantedFile {
  std::string path;                     // where it was mapped from
  std::optional<std::string> build_id;  // hex; empty text: it has none; nullopt: not known
  bool is_program = false;
};

struct FoundFile {
  FileDescriptor file;  // empty: not found
  std::string path;
  std::vector<std::string> refused;  // what lies in its place and is another, one line each
};

// Finds files by build id or by the path they had, under another root than ours where there is one. A file of another
// build id is never given.
class FileFinder {
 public:
  // `program`: the file to take for the main program; empty: search. `root`: searched before our own.
  FileFinder(std::string program, std::string root) : program_(std::move(program)), root_(std::move(root)) {}

  // Throws Error kBadFile when the file to take for the main program is another.
  FoundFile find(const WantedFile& wanted) const;

 private:
  [[noreturn]] void refuse_program(const WantedFile& wanted) const;
  std::vector<std::string> candidates(const WantedFile& wanted) const;

  std::string program_;
  std::string root_;
};

}  // namespace memsnap
