#include <zstd.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "report/cli/program.h"
#include "snapshot/store/container_layout.h"
#include "snapshot/store/crc32c.h"
#include "tests/fuzz/fuzz_input.h"

namespace memsnap {
namespace {

constexpr std::size_t kMaxInput = 1u << 16;
constexpr int kInternalError = 70;

std::vector<std::uint8_t> block_of(std::span<const std::uint8_t> raw) {
  std::vector<std::uint8_t> packed(ZSTD_compressBound(raw.size()));
  packed.resize(ZSTD_compress(packed.data(), packed.size(), raw.data(), raw.size(), 1));
  LittleEndian block;
  block.put32(static_cast<std::uint32_t>(raw.size()));
  block.put32(static_cast<std::uint32_t>(packed.size()));
  block.bytes.insert(block.bytes.end(), packed.begin(), packed.end());
  return block.bytes;
}

// A file whose checksums are right, so that what is in it is read: parts, each with its number, items and raw bytes.
std::vector<std::uint8_t> make_file(FuzzInput& input) {
  LittleEndian directory;
  std::vector<std::uint8_t> parts;
  std::uint32_t count = 0;
  std::set<std::uint32_t> seen;
  while (!input.empty()) {
    PartEntry part;
    part.id = input.take<std::uint8_t>();
    part.items = input.take<std::uint32_t>();
    const auto raw = input.take_bytes(input.take<std::uint16_t>());
    if (!seen.insert(part.id).second) continue;  // a file with two of a part is refused at once
    ++count;
    part.offset = kHeaderBytes + parts.size();
    part.raw = raw.size();
    if (!raw.empty()) {
      const std::vector<std::uint8_t> block = block_of(raw);
      part.stored = block.size();
      part.crc = crc32c(block);
      parts.insert(parts.end(), block.begin(), block.end());
    }
    part.items = std::min(part.items, part.stored << 13);  // more is refused at once
    put_part(directory, part);
  }
  const std::uint64_t at = kHeaderBytes + parts.size();
  std::vector<std::uint8_t> file = make_header(at, count, crc32c(directory.bytes), at + directory.bytes.size());
  file.insert(file.end(), parts.begin(), parts.end());
  file.insert(file.end(), directory.bytes.begin(), directory.bytes.end());
  return file;
}

std::vector<std::vector<std::string>> commands(const std::string& file) {
  return {{"info", file},
          {"summary", file, "--rows", "0"},
          {"summary", file, "--json"},
          {"tree", file, "--rows", "0"},
          {"tree", file, "--jsonl"},
          {"stats", file},
          {"table", file, "--rows", "0"},
          {"table", file, "--csv"},
          {"threads", file},
          {"objects", file, "--rows", "0"},
          {"objects", file, "--cycles"},
          {"objects", file, "--unreachable", "--json"},
          {"roots", file, "--largest"},
          {"inspect", file, "@1", "--depth", "3"},
          {"export", file, "--format", "openmetrics"},
          {"diff", file, file},
          {"growth", file, file, file}};
}

}  // namespace
}  // namespace memsnap

// A snapshot file, looked at by a command: which one, then the file's parts. A first byte above 127: the file itself.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > memsnap::kMaxInput) return 0;
  memsnap::FuzzInput input(data, size);
  const auto kind = input.take<std::uint8_t>();
  std::vector<std::uint8_t> bytes;
  if (kind > 127) {
    const auto rest = input.rest();
    bytes.assign(rest.begin(), rest.end());
  } else {
    bytes = memsnap::make_file(input);
  }
  const memsnap::FileInMemory file(bytes);
  const auto commands = memsnap::commands(file.path());
  memsnap::require(memsnap::run_program(commands[kind % 128 % commands.size()]) != memsnap::kInternalError);
  return 0;
}
