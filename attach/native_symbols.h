#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attach/elf_image.h"

namespace memsnap {

struct NativeSymbol {
  std::string function;  // empty: not known
  std::string file;      // of the source where its line is known, else the program or library
  std::int32_t line = 0;
};

// Names and lines of instructions, by the symbol tables and the DWARF of the files that a process runs, and of separate
// debug files below /usr/lib/debug (by build id or .gnu_debuglink). Nothing is fetched from a network.
class NativeSymbols {
 public:
  // `images` must outlive it; files are opened when an address in them is asked for.
  explicit NativeSymbols(const std::vector<std::unique_ptr<ElfImage>>& images);
  ~NativeSymbols();
  NativeSymbols(const NativeSymbols&) = delete;
  NativeSymbols& operator=(const NativeSymbols&) = delete;

  NativeSymbol find(std::uint64_t address);
  // Its name alone: lines are not looked for, which is quicker.
  std::string function(std::uint64_t address);
  // What is to be said about libraries that could not be looked into; empty: there were none.
  std::optional<std::string> left_out() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace memsnap
