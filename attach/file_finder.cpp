#include "attach/file_finder.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "attach/base/error.h"
#include "attach/build_id.h"
#include "attach/elf_image.h"

namespace memsnap {
namespace {

constexpr std::string_view kDeleted = " (deleted)";  // what the kernel adds to the path of a file that is gone

// As debuggers and distributions lay them out; links to the real files.
void add_by_build_id(const std::string& root, const std::string& id, std::vector<std::string>& paths) {
  if (id.size() < 4) return;
  const std::string name = fmt::format("{}/{}", id.substr(0, 2), id.substr(2));
  paths.push_back(fmt::format("{}/usr/lib/.build-id/{}", root, name));
  paths.push_back(fmt::format("{}/usr/lib/debug/.build-id/{}", root, name));
}

std::string id_text(const std::string& id) { return id.empty() ? "no build id" : "build id " + id; }

}  // namespace

std::vector<std::string> FileFinder::candidates(const WantedFile& wanted) const {
  std::string path = wanted.path;
  if (path.ends_with(kDeleted)) path.resize(path.size() - kDeleted.size());
  const std::string id = wanted.build_id.value_or("");
  std::vector<std::string> paths;
  if (!root_.empty()) {
    add_by_build_id(root_, id, paths);
    paths.push_back(root_ + path);
    paths.push_back(root_ + path.substr(std::min(path.rfind('/'), path.size())));
    // Without a build id nothing would tell another machine's file from ours of the same name.
    if (id.empty()) return paths;
  }
  add_by_build_id("", id, paths);
  paths.push_back(path);
  return paths;
}

void FileFinder::refuse_program(const WantedFile& wanted) const {
  constexpr const char* kHint = "give the very file that ran with --exe";
  struct stat status {};
  const FileDescriptor file = open_regular_file(program_, &status);
  const auto id = file ? build_id_of_file(file.get()) : std::nullopt;
  if (!id) throw Error(ExitCode::kBadFile, fmt::format("{} is no program for 64-bit x86", program_), kHint);
  throw Error(ExitCode::kBadFile,
              fmt::format("{} is not the program of this core: it has {}, but {} has {}", program_, id_text(*id),
                          wanted.path, id_text(wanted.build_id.value_or(""))),
              kHint);
}

FoundFile FileFinder::find(const WantedFile& wanted) const {
  FoundFile found;
  const auto take = [&](const std::string& path) {
    struct stat status {};
    FileDescriptor file = open_regular_file(path, &status);
    const auto id = file ? build_id_of_file(file.get()) : std::nullopt;
    if (!id) return false;
    if (wanted.build_id && *id != *wanted.build_id) {
      found.refused.push_back(fmt::format("{} has {}", path, id_text(*id)));
      return false;
    }
    found.file = std::move(file);
    found.path = path;
    return true;
  };
  if (!program_.empty() && (wanted.is_program || !wanted.build_id.value_or("").empty())) {
    if (take(program_)) return found;
    if (wanted.is_program) refuse_program(wanted);
    found.refused.clear();
  }
  for (const std::string& path : candidates(wanted)) {
    if (take(path)) return found;
  }
  return found;
}

}  // namespace memsnap
