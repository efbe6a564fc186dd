#include "snapshot/memory/foreign_malloc.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace memsnap {
namespace {

// A symbol or part of a file's name that only this allocator has.
struct Mark {
  std::string_view symbol, file, name;
};
constexpr std::array<Mark, 5> kMarks{{{"mallctl", "jemalloc", "jemalloc"},
                                      {"tc_version", "tcmalloc", "tcmalloc"},
                                      {"mi_version", "mimalloc", "mimalloc"},
                                      {"scalable_malloc", "tbbmalloc", "tbbmalloc"},
                                      {"__asan_init", "libasan", "AddressSanitizer"}}};

// The C library and the loader, whose malloc is glibc's or musl's.
bool is_c_library(std::string_view file) {
  return file.starts_with("libc.so") || file.starts_with("libc-2") || file.starts_with("ld-") ||
         file.starts_with("libc.musl");
}

}  // namespace

std::string foreign_malloc(const std::vector<std::unique_ptr<ElfImage>>& images) {
  for (const auto& image : images) {
    std::string file = image->path().substr(image->path().find_last_of('/') + 1);
    if (is_c_library(file) || !image->symbol("malloc") || !image->symbol("free")) continue;
    const auto mark = std::find_if(kMarks.begin(), kMarks.end(), [&](const Mark& one) {
      return image->symbol(one.symbol) || file.find(one.file) != std::string::npos;
    });
    if (mark != kMarks.end()) return std::string(mark->name);
    // A program that brings its C library along has main_arena's malloc_trim too.
    if (!image->symbol("malloc_trim")) return file;
  }
  return "";
}

}  // namespace memsnap
