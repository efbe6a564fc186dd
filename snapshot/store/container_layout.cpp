#include "snapshot/store/container_layout.h"

#include "snapshot/store/crc32c.h"

namespace memsnap {

void put_part(LittleEndian& out, const PartEntry& part) {
  out.put32(part.id);
  out.put32(part.flags);
  out.put64(part.offset);
  out.put64(part.stored);
  out.put64(part.raw);
  out.put64(part.items);
  out.put32(part.crc);
  out.put32(0);
}

PartEntry get_part(const std::uint8_t* at) {
  return {.id = load<std::uint32_t>(at),
          .flags = load<std::uint32_t>(at + 4),
          .offset = load<std::uint64_t>(at + 8),
          .stored = load<std::uint64_t>(at + 16),
          .raw = load<std::uint64_t>(at + 24),
          .items = load<std::uint64_t>(at + 32),
          .crc = load<std::uint32_t>(at + 40)};
}

std::vector<std::uint8_t> make_header(std::uint64_t directory, std::uint32_t parts, std::uint32_t directory_crc,
                                      std::uint64_t file_size) {
  LittleEndian out;
  out.bytes.assign(kMagic.begin(), kMagic.end());
  out.put32(kFormatVersion);
  out.put32(kFormatVersion);  // the oldest reader that understands this file
  out.put64(directory);
  out.put32(parts);
  out.put32(directory_crc);
  out.put64(file_size);
  out.bytes.resize(kHeaderBytes - 4);
  out.put32(crc32c(out.bytes));
  return out.bytes;
}

}  // namespace memsnap
