#include "attach/native_symbols.h"

#include <cxxabi.h>
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <map>
#include <new>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "attach/build_id.h"
#include "attach/steady_files.h"

namespace memsnap {
namespace {

constexpr std::size_t kMaxMangled = 1024;
constexpr std::size_t kMaxFunction = 256;
constexpr std::uint64_t kMaxDebugFile = 4ull << 30;
constexpr std::uint64_t kMaxChecked = 512ull << 20;  // of a file that only its checksum vouches for
constexpr const char* kDebugFiles = "/usr/lib/debug";

// Without what the linker and the compiler put behind a name: the version of a symbol, the clone of a function.
std::string as_written(std::string text) {
  for (const std::string_view mark : {"@", ".constprop.", ".isra.", ".part.", ".cold", ".lto_priv.", ".localalias"}) {
    const std::size_t at = text.find(mark);
    if (at != 0 && at != std::string::npos) text.resize(at);
  }
  return text;
}

std::string demangled(const char* name) {
  std::string text = as_written(name);
  if (text.starts_with("_Z") && text.size() < kMaxMangled) {
    int status = 0;
    char* const plain = abi::__cxa_demangle(text.c_str(), nullptr, nullptr, &status);
    if (status == 0 && plain != nullptr) text = plain;
    std::free(plain);
  }
  if (text.size() > kMaxFunction) text.resize(kMaxFunction);
  return text;
}

// A debug file, whole and no larger than can be: libdwfl would unpack what is no ELF file, and read for hours from one
// with holes.
FileDescriptor open_debug_file(const std::string& path, SteadyFiles& files) {
  struct stat status {};
  FileDescriptor file = open_regular_file(path, &status);
  const bool modest = file && static_cast<std::uint64_t>(status.st_size) <= kMaxDebugFile;
  return modest && build_id_of_file(file.get()) ? files.take(std::move(file)) : FileDescriptor();
}

// The checksum of .gnu_debuglink (CRC-32, as in zip), bit by bit: such files are few.
bool has_checksum(int file, std::uint32_t wanted) {
  struct stat status {};
  if (::fstat(file, &status) != 0 || static_cast<std::uint64_t>(status.st_size) > kMaxChecked) return false;
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < table.size(); ++i) {
    table.at(i) = i;
    for (int bit = 0; bit < 8; ++bit) table.at(i) = table.at(i) >> 1 ^ ((table.at(i) & 1) != 0 ? 0xedb88320 : 0);
  }
  std::vector<std::uint8_t> buffer(1u << 20);
  std::uint32_t sum = ~0u;
  for (ssize_t got = 0; (got = ::read(file, buffer.data(), buffer.size())) > 0;) {
    for (const std::uint8_t byte : std::span(buffer).first(static_cast<std::size_t>(got)))
      sum = table.at((sum ^ byte) & 0xff) ^ sum >> 8;
  }
  return ~sum == wanted && ::lseek(file, 0, SEEK_SET) == 0;
}

// The place where a distribution puts the debug file of a build.
std::string path_of_build(Dwfl_Module* module) {
  const unsigned char* bits = nullptr;
  GElf_Addr address = 0;
  const int size = dwfl_module_build_id(module, &bits, &address);
  if (size < 2) return "";
  std::string text = fmt::format("{}/.build-id/{:02x}/", kDebugFiles, bits[0]);
  for (int i = 1; i < size; ++i) text += fmt::format("{:02x}", bits[i]);
  return text + ".debug";
}

// As libdwfl's own search, but without its questions to servers.
int find_debug_file(Dwfl_Module* module, void** user, const char* path, Dwarf_Addr, const char*, const char* link,
                    GElf_Word checksum, char** found) {
  const auto take = [&](FileDescriptor file, const std::string& name) {
    *found = ::strdup(name.c_str());
    return ::fcntl(file.get(), F_DUPFD_CLOEXEC, 0);
  };
  SteadyFiles& files = *static_cast<SteadyFiles*>(*user);
  const std::string by_build = path_of_build(module);
  if (!by_build.empty()) {
    if (FileDescriptor file = open_debug_file(by_build, files)) return take(std::move(file), by_build);
  }
  const std::string_view wanted = link == nullptr ? "" : link;
  const std::string_view whole = path == nullptr ? "" : path;
  if (wanted.empty() || wanted.find('/') != std::string_view::npos || !whole.starts_with('/')) return -1;
  const std::string_view folder = whole.substr(0, whole.rfind('/'));
  for (const std::string& name : {fmt::format("{}{}/{}", kDebugFiles, folder, wanted),
                                  fmt::format("{}/.debug/{}", folder, wanted), fmt::format("{}/{}", folder, wanted)}) {
    FileDescriptor file = open_debug_file(name, files);
    if (file && has_checksum(file.get(), checksum)) return take(std::move(file), name);
  }
  return -1;
}

// libdw would end the whole program. Its own memory is given back with the Dwfl.
[[gnu::noreturn]] void throw_no_memory() { throw std::bad_alloc(); }

int find_no_file(Dwfl_Module*, void**, const char*, Dwarf_Addr, char**, Elf**) { return -1; }

}  // namespace

struct NativeSymbols::State {
  const std::vector<std::unique_ptr<ElfImage>>& images;
  Dwfl_Callbacks callbacks{};
  Dwfl* dwfl = nullptr;
  SteadyFiles files{};                                // libdw maps them
  std::map<const ElfImage*, Dwfl_Module*> modules{};  // nullptr: its file cannot be used
  std::unordered_map<std::uint64_t, NativeSymbol> known{};

  const ElfImage* image_of(std::uint64_t address) const {
    for (const auto& image : images) {
      const auto range = image->range();
      if (address >= range.begin && address < range.end) return image.get();
    }
    return nullptr;
  }

  Dwfl_Module* module_of(const ElfImage& image) {
    const auto [known_module, is_new] = modules.try_emplace(&image, nullptr);
    if (!is_new || dwfl == nullptr) return known_module->second;
    const FileDescriptor file = files.take(image.open());
    const int fd = file ? ::fcntl(file.get(), F_DUPFD_CLOEXEC, 0) : -1;
    if (fd < 0) return nullptr;
    dwfl_report_begin_add(dwfl);
    known_module->second =
        dwfl_report_elf(dwfl, image.path().c_str(), image.path().c_str(), fd, image.load_bias(), true);
    dwfl_report_end(dwfl, nullptr, nullptr);
    if (known_module->second == nullptr) {
      ::close(fd);
      return nullptr;
    }
    void** user = nullptr;  // what find_debug_file is given
    dwfl_module_info(known_module->second, &user, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
    *user = &files;
    return known_module->second;
  }

  static std::string function(Dwfl_Module* module, std::uint64_t address) {
    GElf_Off offset = 0;
    GElf_Sym entry{};
    const char* const name = dwfl_module_addrinfo(module, address, &offset, &entry, nullptr, nullptr, nullptr);
    // Without a symbol that reaches so far, the nearest one before is another function's.
    const bool reaches = offset < entry.st_size || (entry.st_size == 0 && offset == 0);
    return name != nullptr && reaches ? demangled(name) : "";
  }

  NativeSymbol read(std::uint64_t address) {
    NativeSymbol symbol;
    const ElfImage* const image = image_of(address);
    if (image == nullptr) return symbol;
    symbol.file = image->path();
    Dwfl_Module* const module = module_of(*image);
    if (module == nullptr) return symbol;
    symbol.function = function(module, address);
    Dwarf_Addr bias = 0;
    Dwarf* const debug = dwfl_module_getdwarf(module, &bias);
    if (debug != nullptr) dwarf_new_oom_handler(debug, throw_no_memory);
    Dwfl_Line* const line = dwfl_module_getsrc(module, address);
    int number = 0;
    const char* const file =
        line == nullptr ? nullptr : dwfl_lineinfo(line, nullptr, &number, nullptr, nullptr, nullptr);
    if (file != nullptr && number > 0) {
      symbol.file = file;
      symbol.line = number;
    }
    return symbol;
  }
};

NativeSymbols::NativeSymbols(const std::vector<std::unique_ptr<ElfImage>>& images)
    : state_(new State{.images = images}) {
  state_->callbacks.find_elf = find_no_file;
  state_->callbacks.find_debuginfo = find_debug_file;
  state_->callbacks.section_address = dwfl_offline_section_address;
  state_->dwfl = dwfl_begin(&state_->callbacks);
}

NativeSymbols::~NativeSymbols() { dwfl_end(state_->dwfl); }

NativeSymbol NativeSymbols::find(std::uint64_t address) {
  const auto found = state_->known.find(address);
  if (found != state_->known.end()) return found->second;
  return state_->known.emplace(address, state_->read(address)).first->second;
}

std::optional<std::string> NativeSymbols::left_out() const { return state_->files.left_out(); }

std::string NativeSymbols::function(std::uint64_t address) {
  const ElfImage* const image = state_->image_of(address);
  Dwfl_Module* const module = image == nullptr ? nullptr : state_->module_of(*image);
  return module == nullptr ? "" : State::function(module, address);
}

}  // namespace memsnap
