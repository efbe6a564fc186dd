#pragma once

#include <memory>
#include <string>
#include <vector>

#include "attach/elf_image.h"

namespace memsnap {

// Whose malloc the process calls: "jemalloc", "tcmalloc", "mimalloc", ... or the file of a library that exports one of
// its own. Empty: the C library's.
std::string foreign_malloc(const std::vector<std::unique_ptr<ElfImage>>& images);

}  // namespace memsnap
