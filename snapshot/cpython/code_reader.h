#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "snapshot/cpython/frames.h"
#include "snapshot/cpython/line_table.h"
#include "snapshot/cpython/object_reader.h"
#include "snapshot/cpython/python_process.h"

namespace memsnap {

// What is to be said of a code object.
struct CodeInfo {
  std::string function;  // co_name
  std::string file;      // co_filename
  std::int32_t first_line = 0;
  std::optional<std::vector<std::uint8_t>> line_table{};  // empty: it could not be read
};

// Reads code objects, each once, and tells the lines of frames that run them.
class CodeReader {
 public:
  // Both must outlive the reader.
  CodeReader(const ProcessMemory& memory, const PythonProcess& python);

  // nullptr: no code object lies there.
  const CodeInfo* find(std::uint64_t code);
  // The line a frame is at; empty when its instruction has none, or the frame cannot be read.
  std::optional<std::int32_t> line(const RunningFrame& frame);

 private:
  std::optional<CodeInfo> read(std::uint64_t code) const;
  std::optional<std::vector<std::uint8_t>> read_bytes(std::uint64_t object) const;
  // How many bytes into the code the frame is; negative: before its first instruction.
  std::optional<std::int64_t> position(const RunningFrame& frame) const;

  const ProcessMemory& memory_;
  const PythonProcess& python_;
  ObjectReader reader_;
  LineTableForm form_;
  std::unordered_map<std::uint64_t, std::optional<CodeInfo>> known_;
};

}  // namespace memsnap
