#pragma once

#include <sys/types.h>

#include <cstdint>
#include <filesystem>
#include <span>

#include "attach/base/file_descriptor.h"

namespace memsnap {

// A file that appears under its name only when it is complete: written as FILE.tmp.PID beside it, then renamed. Mode
// 0600, unless it is for others to read. Without commit() nothing is left. Every failure is Error kCannotWrite.
class OutputFile {
 public:
  OutputFile(std::filesystem::path path, bool force, mode_t mode = 0600);
  ~OutputFile();
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void append(std::span<const std::uint8_t> bytes);
  void overwrite(std::uint64_t offset, std::span<const std::uint8_t> bytes);
  std::uint64_t size() const { return size_; }
  void commit();

 private:
  void write_at(std::uint64_t offset, std::span<const std::uint8_t> bytes);
  [[noreturn]] void fail(int error) const;

  std::filesystem::path path_;
  std::filesystem::path temporary_;
  bool force_;
  bool committed_ = false;
  FileDescriptor file_;
  std::uint64_t size_ = 0;
};

}  // namespace memsnap
