#include <zstd.h>

#include <algorithm>
#include <stdexcept>

#include "snapshot/store/container.h"
#include "snapshot/store/container_layout.h"
#include "snapshot/store/crc32c.h"

namespace memsnap {

struct ContainerWriter::Compressor {
  explicit Compressor(int level) : context(ZSTD_createCCtx()), out(ZSTD_compressBound(kMaxBlockBytes)) {
    if (context == nullptr) throw std::bad_alloc();
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, level);
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  }
  ~Compressor() { ZSTD_freeCCtx(context); }
  Compressor(const Compressor&) = delete;
  Compressor& operator=(const Compressor&) = delete;

  ZSTD_CCtx* context;
  std::vector<std::uint8_t> out;
};

ContainerWriter::ContainerWriter(const std::filesystem::path& path, bool force, int level)
    : file_(path, force), compressor_(std::make_unique<Compressor>(level)) {
  file_.append(std::vector<std::uint8_t>(kHeaderBytes));  // filled in last: a file without it is nothing
}

ContainerWriter::~ContainerWriter() = default;

void ContainerWriter::begin_part(std::uint32_t id, std::uint32_t flags) {
  parts_.push_back({.id = id, .flags = flags, .offset = file_.size()});
}

void ContainerWriter::block(std::span<const std::uint8_t> raw) {
  Compressor& zstd = *compressor_;
  const std::size_t stored = ZSTD_compress2(zstd.context, zstd.out.data(), zstd.out.size(), raw.data(), raw.size());
  if (ZSTD_isError(stored) != 0) throw std::runtime_error("zstd: cannot compress a block");
  LittleEndian head;
  head.put32(static_cast<std::uint32_t>(raw.size()));
  head.put32(static_cast<std::uint32_t>(stored));
  PartEntry& part = parts_.back();
  for (const auto bytes :
       {std::span<const std::uint8_t>(head.bytes), std::span<const std::uint8_t>(zstd.out).first(stored)}) {
    part.crc = crc32c(bytes, part.crc);
    part.stored += bytes.size();
    file_.append(bytes);
  }
  part.raw += raw.size();
}

void ContainerWriter::bytes(std::span<const std::uint8_t> raw) {
  while (!raw.empty()) {
    const std::size_t length = std::min<std::size_t>(raw.size(), kMaxBlockBytes / 2);
    block(raw.first(length));
    raw = raw.subspan(length);
  }
}

void ContainerWriter::end_part(std::uint64_t items) { parts_.back().items = items; }

std::uint64_t ContainerWriter::finish() {
  LittleEndian directory;
  for (const PartEntry& part : parts_) put_part(directory, part);
  const std::uint64_t offset = file_.size();
  file_.append(directory.bytes);
  file_.overwrite(
      0, make_header(offset, static_cast<std::uint32_t>(parts_.size()), crc32c(directory.bytes), file_.size()));
  file_.commit();
  return file_.size();
}

}  // namespace memsnap
